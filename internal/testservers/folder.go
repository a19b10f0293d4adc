package testservers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// folder is the temporary folder of one server. Its file "lock" is locked while the process lives, so whoever comes later
// can tell the folders of killed processes from those in use, and removes them.
type folder struct {
	path string
	lock *os.File
}

// openFolder makes a folder that every user may pass through: PostgreSQL runs under another uid where we are root.
func openFolder(server string) (*folder, error) {
	base, err := baseFolder()
	if err != nil {
		return nil, err
	}
	sweep(base)
	fresh, err := os.MkdirTemp(base, "new-")
	if err != nil {
		return nil, fmt.Errorf("make the folder of %s: %w", server, err)
	}
	lock, err := lockFile(filepath.Join(fresh, "lock"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the folder of %s: %w", server, err), os.RemoveAll(fresh))
	}
	// Only folders with this name are swept: it is given once the lock is held.
	path := filepath.Join(base, fmt.Sprintf("run-%s-%d-%s", server, os.Getpid(), filepath.Base(fresh)[len("new-"):]))
	err = errors.Join(os.Chmod(fresh, 0o711), os.Rename(fresh, path))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the folder of %s: %w", server, err), lock.Close(), os.RemoveAll(fresh))
	}
	return &folder{path: path, lock: lock}, nil
}

func (f *folder) join(name string) string { return filepath.Join(f.path, name) }

// remove deletes the folder. A server that was just killed may still be writing its last file: the deletion is tried again
// for a moment, and what is left then is swept by the next server that starts.
func (f *folder) remove() error {
	var err error
	for range 50 {
		if err = os.RemoveAll(f.path); err == nil {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	return errors.Join(err, f.lock.Close())
}

// baseFolder is the folder of all our folders and port locks, one per user.
func baseFolder() (string, error) {
	parent := os.TempDir()
	if !passable(parent) {
		parent = "/tmp"
	}
	base := filepath.Join(parent, "tidewatch-servers-"+strconv.Itoa(os.Getuid()))
	if err := os.Mkdir(base, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the folder for servers: %w", err)
	}
	info, err := os.Lstat(base)
	if err != nil {
		return "", fmt.Errorf("check the folder for servers: %w", err)
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !known || int(owner.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s belongs to somebody else: remove it or set TMPDIR", base)
	}
	if err := os.Chmod(base, 0o711); err != nil { // the umask may have taken bits away
		return "", fmt.Errorf("open the folder for servers: %w", err)
	}
	return base, nil
}

// passable reports whether any user can walk through all of the folder's parents and itself.
func passable(path string) bool {
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
	}
}

// sweep removes the folders of processes that are gone. Errors are left to the next sweep: two may run at once.
func sweep(base string) {
	runs, _ := filepath.Glob(filepath.Join(base, "run-*")) // the pattern is well-formed
	for _, path := range runs {
		lock, err := lockFile(filepath.Join(path, "lock"))
		if err != nil {
			continue // in use
		}
		_ = os.RemoveAll(path)
		_ = lock.Close()
	}
}

// lockFile creates the file if need be and locks it; the lock ends with the file's Close or the process. Servers do not
// inherit it: Go opens files close-on-exec.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
