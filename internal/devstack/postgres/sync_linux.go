package postgres

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// oneSync says that syncCluster makes the files of a cluster durable, so that initdb need not.
const oneSync = true

// syncCluster waits until the disk has a new cluster. The system writes out the whole file system at once: 30 ms on a machine
// on which initdb, which waits for each of a thousand files, took a second.
func syncCluster(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	if err = unix.Syncfs(int(dir.Fd())); err != nil {
		err = fmt.Errorf("sync the file system of %s: %w", path, err)
	}
	return errors.Join(err, dir.Close())
}
