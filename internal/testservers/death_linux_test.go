package testservers

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// holder is the variable that turns this test binary into a process that starts servers and waits to be killed.
const holder = "TIDEWATCH_TESTSERVERS_HOLDER"

// hold starts one server of each kind that the machine has, prints their processes and folders, and never ends.
func hold(t *testing.T) {
	t.Helper()
	var servers []*Server
	if s, err := StartRedis(t.Context(), RedisOptions{}); err == nil {
		servers = append(servers, s.Server)
	}
	if s, err := StartPostgres(t.Context(), PostgresOptions{}); err == nil {
		servers = append(servers, s.Server)
	}
	if s, err := StartS3(t.Context()); err == nil {
		servers = append(servers, s.Server)
	}
	for _, s := range servers {
		pids := append(descendants(s.PID()), s.PID())
		fmt.Println("HELD", s.Folder(), strings.Trim(fmt.Sprint(pids), "[]"))
	}
	fmt.Println("READY")
	select {}
}

func TestServersDieWithAKilledProcess(t *testing.T) {
	if os.Getenv(holder) != "" {
		hold(t)
	}
	allowed(t, NameRedis)
	folders, pids := startHolder(t)
	if len(folders) == 0 {
		t.Skip("the machine has none of the servers")
	}
	// SIGQUIT lets PostgreSQL free its shared memory: it needs a moment, and so does the kernel for each of them.
	if err := waitNone(pids, runs); err != nil {
		t.Fatalf("of %d processes in %q: %v", len(pids), folders, err)
	}
	base, err := baseFolder()
	if err != nil {
		t.Fatal(err)
	}
	sweep(base)
	for _, folder := range folders {
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", folder, err)
		}
	}
}

// startHolder runs the holder until it is ready, kills it with SIGKILL, and answers what it had started.
func startHolder(t *testing.T) (folders []string, pids []int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServersDieWithAKilledProcess$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), holder+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for scanner := bufio.NewScanner(out); scanner.Scan() && scanner.Text() != "READY"; {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 3 || fields[0] != "HELD" {
			continue
		}
		folders = append(folders, fields[1])
		for _, field := range fields[2:] {
			var pid int
			if _, err := fmt.Sscan(field, &pid); err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	for _, pid := range pids {
		if !runs(pid) {
			t.Fatalf("process %d does not run", pid)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the holder was not killed")
	}
	return folders, pids
}

func TestDescendantsAreFound(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "sleep 100 & echo $!; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	if got := descendants(p.pid()); len(got) != 1 || got[0] != child {
		t.Errorf("descendants %v, want %d", got, child)
	}
	if err := p.kill(); err != nil {
		t.Fatal(err)
	}
	if runs(child) || !p.ended() {
		t.Error("a process outlived the kill")
	}
	if got := descendants(os.Getpid()); len(got) > 0 && got[0] == p.pid() {
		t.Errorf("descendants of this process: %v", got)
	}
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(p.pid()))); !os.IsNotExist(err) {
		t.Errorf("it was not waited for: %v", err)
	}
}
