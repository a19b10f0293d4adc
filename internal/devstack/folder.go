package devstack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ephemeralName begins the names of temporary folders.
const ephemeralName = "tidewatch-ephemeral-"

// folder is the data folder, locked while this process uses it.
type folder struct {
	path      string
	lock      *os.File
	ephemeral bool
}

// openFolder makes the folder if need be and locks it.
func openFolder(c Config) (*folder, error) {
	path, err := makeFolder(c)
	if err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	lock, err := lockFolder(path)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, lock: lock, ephemeral: c.Ephemeral}
	for _, name := range []string{"kafka", "objects"} {
		if err := os.MkdirAll(f.join(name), 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("make the data folder: %w", err), f.close())
		}
	}
	return f, nil
}

func makeFolder(c Config) (string, error) {
	if c.Ephemeral {
		sweep()
		return os.MkdirTemp("", ephemeralName)
	}
	path, err := filepath.Abs(c.Dir)
	if err != nil {
		return "", err
	}
	return path, os.MkdirAll(path, 0o755)
}

func (f *folder) join(name string) string { return filepath.Join(f.path, name) }

// close lets others use the folder, or removes it if it is temporary.
func (f *folder) close() error {
	var err error
	if f.ephemeral {
		err = os.RemoveAll(f.path)
	}
	return errors.Join(err, f.lock.Close()) // the lock goes last: until then nobody else may touch what is left
}

// lockFolder locks the file `lock` in the folder for the life of this process, however that ends. The file tells who has it.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(locked(path, f, err), f.Close())
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("%d\n", os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("lock the data folder: %w", err), f.Close())
	}
	return f, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// locked explains why the folder cannot be locked.
func locked(path string, f *os.File, err error) error {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("lock the data folder: %w", err)
	}
	text, readErr := os.ReadFile(f.Name())
	pid := strings.TrimSpace(string(text))
	if readErr != nil || pid == "" {
		pid = "unknown"
	}
	return fmt.Errorf("lock the data folder: process %s uses %s: stop it, or choose another folder with --data-dir", pid, path)
}

// sweep removes the temporary folders of killed processes. What cannot be removed is left to the next one.
func sweep() {
	paths, _ := filepath.Glob(filepath.Join(os.TempDir(), ephemeralName+"*")) // the pattern is well-formed
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || !ours(info) {
			continue
		}
		if _, err := os.Stat(filepath.Join(path, "lock")); err != nil {
			continue // not locked yet: somebody has just made it
		}
		if lock, err := lockFolder(path); err == nil {
			_ = os.RemoveAll(path)
			_ = lock.Close()
		}
	}
}

func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}
