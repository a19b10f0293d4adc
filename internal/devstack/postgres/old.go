package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// How long a server may take to end that lost the process which started it.
const (
	oldPatience = 15 * time.Second
	pollEvery   = 20 * time.Millisecond
)

// waitOld waits until no other server works on the cluster: one whose parent was killed ends by itself, a moment later. The
// folder of the data is ours alone (a lock above sees to that), so one that still runs has lost its parent, and where the
// kernel did not tell it to end we do.
func (k *cluster) waitOld(ctx context.Context, clock stream.Clock, progress func(string)) error {
	pid := k.oldPID()
	if pid == 0 {
		return nil
	}
	progress(fmt.Sprintf("waiting for the PostgreSQL of a killed process (%d) to end", pid))
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop an old PostgreSQL, process %d: %w", pid, err)
	}
	for deadline := clock.Now().Add(oldPatience); k.oldPID() == pid; {
		if clock.Now().After(deadline) {
			return fmt.Errorf("start PostgreSQL: an old server, process %d, still works in %s after %s: stop it (kill -QUIT %d) and start again",
				pid, k.dir, oldPatience, pid)
		}
		select {
		case <-clock.After(pollEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// oldPID is the process that serves the cluster, 0 if there is none. A file postmaster.pid that a crash left behind is
// removed when its number is not that of a server of this cluster: PostgreSQL itself would refuse to start beside any
// process of its account that has the number by now.
func (k *cluster) oldPID() int {
	file := k.path("data/postmaster.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 1 {
		return 0
	}
	if k.serves(pid) {
		return pid
	}
	_ = os.Remove(file) // if that fails, PostgreSQL says what it thinks of the file
	return 0
}

// serves reports whether the process is a server of this cluster: a server's working directory is its data.
func (k *cluster) serves(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	if runtime.GOOS != "linux" {
		return true // as far as can be told
	}
	if zombie(pid) {
		return false
	}
	at, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) // of another account, so not ours
	}
	data, err := os.Stat(k.path("data"))
	return err == nil && os.SameFile(at, data)
}

// zombie reports whether the process has ended and only waits to be collected.
func zombie(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(state, "Z")
}
