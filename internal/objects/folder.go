package objects

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// folder keeps objects as files below a directory. The directory is opened for each call, so that one that was unmounted
// and mounted again is found again, and through os.Root, so that neither a key nor a symbolic link leads out of it.
type folder struct{ dir string }

// unfinishedAge is after what time an unfinished object can only be that of a crashed process.
const unfinishedAge = time.Hour

// errGone says inside this file that the object of the call does not exist. A file system error says less: it may mean a
// directory that was pruned a moment ago.
var errGone = errors.New("no such object")

// attempts bounds the race between a Put that makes a directory and a Delete elsewhere that prunes it.
const attempts = 16

func openFolder(dir string) (*folder, error) {
	f := &folder{dir: filepath.Clean(dir)}
	if err := os.MkdirAll(f.dir, 0o777); err != nil {
		return nil, folderFailure("open", ".", f.dir, err)
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, folderFailure("open", ".", f.dir, err)
	}
	defer closeRead(root)
	if err := sweep(root); err != nil {
		return nil, folderFailure("open", ".", f.dir, err)
	}
	return f, nil
}

// sweep proves that the folder can be written, and removes what crashed writers left. The age is measured against a new
// file, by the clock of the file system, which need not be ours.
func sweep(root *os.Root) error {
	name, err := writeUnfinished(root, nil)
	if err != nil {
		return err
	}
	defer func() { _ = root.Remove(name) }()
	fresh, err := root.Stat(name)
	if err != nil {
		return err
	}
	entries, err := fs.ReadDir(root.FS(), reserved)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && fresh.ModTime().Sub(info.ModTime()) > unfinishedAge {
			// Another process may remove it first.
			_ = root.Remove(path.Join(reserved, e.Name()))
		}
	}
	return nil
}

// closeRead closes what nothing was written to, so it has nothing to lose.
func closeRead(c io.Closer) { _ = c.Close() }

// Put implements stream.Objects.
func (f *folder) Put(_ context.Context, key string, data []byte) error {
	return f.do("put", key, func(root *os.Root) error {
		name, err := writeUnfinished(root, data)
		if err != nil {
			return err
		}
		err = place(root, key, func() error { return root.Rename(name, key) })
		if err != nil {
			_ = root.Remove(name)
		}
		return err
	})
}

// Copy implements stream.Objects. A hard link is a copy here, because objects are only ever replaced, never changed.
func (f *folder) Copy(_ context.Context, from, to string) error {
	if err := CheckKey(to); err != nil {
		return err
	}
	return f.do("copy", from, func(root *os.Root) error {
		err := place(root, to, func() error { return link(root, from, to) })
		switch {
		case err == nil:
			return nil
		case isFile(root, to):
			return syncChain(root, to) // whoever made it may have died before doing so
		case errors.Is(err, errGone), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist):
			return err
		}
		return copyWithoutLink(root, from, to)
	})
}

func link(root *os.Root, from, to string) error {
	err := root.Link(from, to)
	if errors.Is(err, fs.ErrNotExist) && !isFile(root, from) {
		return errGone
	}
	return err
}

// copyWithoutLink serves file systems without hard links. Two writers may both get to the rename; they have equal bytes.
func copyWithoutLink(root *os.Root, from, to string) error {
	data, err := read(root, from)
	if err != nil {
		return err
	}
	name, err := writeUnfinished(root, data)
	if err != nil {
		return err
	}
	if err = place(root, to, func() error { return root.Rename(name, to) }); err != nil {
		_ = root.Remove(name)
	}
	return err
}

// Get implements stream.Objects.
func (f *folder) Get(_ context.Context, key string) (data []byte, err error) {
	err = f.do("get", key, func(root *os.Root) error {
		data, err = read(root, key)
		return err
	})
	return data, err
}

func read(root *os.Root, key string) ([]byte, error) {
	data, err := root.ReadFile(key)
	if err != nil && !isFile(root, key) {
		return nil, errGone // also for a folder, which is no object
	}
	return data, err
}

// Delete implements stream.Objects. Folders that become empty go too, or they would pile up.
func (f *folder) Delete(_ context.Context, key string) error {
	err := f.do("delete", key, func(root *os.Root) error {
		if !isFile(root, key) {
			return nil
		}
		if err := root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		prune(root, path.Dir(key))
		return nil
	})
	return err
}

// prune removes a directory and those above it up to the first that is not empty.
func prune(root *os.Root, dir string) {
	for ; dir != "." && root.Remove(dir) == nil; dir = path.Dir(dir) {
	}
}

// do checks the key, opens the folder and explains what failed.
func (f *folder) do(verb, key string, work func(root *os.Root) error) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fail(stream.Retry, err, "%s object %s: the folder %s is gone: %s; mount or create it", verb, clip(key), f.dir, plainCause(err))
	}
	defer closeRead(root)
	err = work(root)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errGone):
		return missing(verb, key)
	}
	return folderFailure(verb, key, f.dir, err)
}

// writeUnfinished writes a file that no listing shows, makes it durable and returns its name.
func writeUnfinished(root *os.Root, data []byte) (string, error) {
	if err := root.Mkdir(reserved, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	name := path.Join(reserved, rand.Text())
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), checkSize(file, len(data)), file.Close())
	if err != nil {
		_ = root.Remove(name)
		return "", err
	}
	return name, nil
}

func checkSize(file *os.File, want int) error {
	info, err := file.Stat()
	if err == nil && info.Size() != int64(want) {
		err = fmt.Errorf("stored size is %d bytes, want %d", info.Size(), want)
	}
	return err
}

// place makes the directories of key while step says that they are missing, then makes the entry durable.
func place(root *os.Root, key string, step func() error) error {
	err := step()
	for try := 0; errors.Is(err, fs.ErrNotExist) && try < attempts; try++ {
		if e := root.MkdirAll(path.Dir(key), 0o777); e != nil && !errors.Is(e, fs.ErrNotExist) {
			return e
		}
		err = step()
	}
	if err != nil {
		return err
	}
	return syncChain(root, key)
}

// syncChain makes the entry of key durable, and the entries of all directories above it: another process may have made
// them and not have come to it yet.
func syncChain(root *os.Root, key string) error {
	for dir := path.Dir(key); ; dir = path.Dir(dir) {
		d, err := root.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
	}
}

func isFile(root *os.Root, name string) bool {
	info, err := root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
