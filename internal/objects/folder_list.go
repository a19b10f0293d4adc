package objects

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// List implements stream.Objects.
func (f *folder) List(ctx context.Context, prefix string, visit func(stream.Object) error) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fail(stream.Retry, err, "list object %s*: the folder %s is gone: %s; mount or create it", clip(prefix), f.dir, plainCause(err))
	}
	defer closeRead(root)
	dir := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		dir = prefix[:i]
	}
	w := walk{files: root.FS(), prefix: prefix, visit: visit}
	err = w.dir(ctx, dir)
	if w.visitor != nil || err == nil {
		return w.visitor
	}
	return folderFailure("list", prefix+"*", f.dir, err)
}

// walk visits files in the byte order of their keys.
type walk struct {
	files   fs.FS
	prefix  string
	visit   func(stream.Object) error
	visitor error // what visit returned: it goes back unchanged
}

func (w *walk) dir(ctx context.Context, dir string) error {
	entries, err := fs.ReadDir(w.files, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // pruned since, or never there
	}
	if err != nil {
		return err
	}
	// A folder sorts as its name with the slash: "a-b" comes before "a/b", although "a" comes before "a-b".
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		key := path.Join(dir, e.Name())
		if e.Name() == reserved || !w.wanted(key, e.IsDir()) {
			continue
		}
		if err := w.entry(ctx, key, e); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) entry(ctx context.Context, key string, e fs.DirEntry) error {
	if err := ctx.Err(); err != nil {
		w.visitor = stream.Mark(stream.Retry, err)
		return err
	}
	if e.IsDir() {
		return w.dir(ctx, key)
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) || (err == nil && !info.Mode().IsRegular()) {
		return nil
	}
	if err != nil {
		return err
	}
	w.visitor = w.visit(stream.Object{Key: key, Size: info.Size(), Modified: stream.TimeOf(info.ModTime())})
	return w.visitor
}

// wanted says whether key, or something below it, has the prefix.
func (w *walk) wanted(key string, isDir bool) bool {
	return strings.HasPrefix(key, w.prefix) || (isDir && strings.HasPrefix(w.prefix, key+"/"))
}

func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}
