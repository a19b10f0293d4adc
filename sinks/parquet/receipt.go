package parquet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// receipt says what a reveal has to do: copy Prefix+Key to Key for each file.
type receipt struct {
	Prefix string `json:"prefix"`
	Files  []file `json:"files"`
}

// file is a staged file.
type file struct {
	Key    string `json:"key"` // visible
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// encoded is a file on its way to the store.
type encoded struct {
	key  string
	data []byte // nil once it is staged
	file file
}

func newEncoded(key string, data []byte) encoded {
	sum := sha256.Sum256(data)
	return encoded{key: key, data: data, file: file{Key: key, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}}
}

// put stages the files that are not staged yet, and returns the receipt for all.
func put(ctx context.Context, store stream.Objects, prefix string, files []encoded) (stream.Receipt, error) {
	r := receipt{Prefix: prefix}
	for i := range files {
		f := &files[i]
		if f.data != nil {
			if err := store.Put(ctx, prefix+f.key, f.data); err != nil {
				return nil, fmt.Errorf("stage %s: %w", f.key, err)
			}
			f.data = nil
		}
		r.Files = append(r.Files, f.file)
	}
	return json.Marshal(r)
}

// parseReceipt reads a receipt. It names nothing outside the visible trees, whoever wrote it.
func parseReceipt(data stream.Receipt) (r receipt, err error) {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, stream.Mark(stream.Fatal, fmt.Errorf("read receipt: %w", err))
	}
	for _, f := range r.Files {
		if !visible(f.Key) || f.Size <= 0 || len(f.SHA256) != 2*sha256.Size || strings.Contains(f.Key, "/../") {
			return r, stream.Mark(stream.Fatal, fmt.Errorf("read receipt: %q is no file of the archive", f.Key))
		}
	}
	return r, nil
}

// visible reports whether a key lies in one of the visible trees.
func visible(key string) bool {
	for _, root := range []string{columnfile.RawRoot, columnfile.ControlRoot, columnfile.RollupRoot, columnfile.ProvisionalRoot} {
		if strings.HasPrefix(key, root) {
			return true
		}
	}
	return false
}

// reveal copies every staged file to its visible name. It may be repeated, by another process and when the staged files are
// gone already.
func reveal(ctx context.Context, store stream.Objects, data stream.Receipt) error {
	r, err := parseReceipt(data)
	if err != nil {
		return err
	}
	for _, f := range r.Files {
		if err := store.Copy(ctx, r.Prefix+f.Key, f.Key); err != nil {
			return fmt.Errorf("reveal %s: %w", f.Key, err)
		}
		if err := verify(ctx, store, r.Prefix+f.Key, f); err != nil {
			return fmt.Errorf("reveal %s: %w", f.Key, err)
		}
	}
	return nil
}

// verify looks whether the visible file is the staged one. A provisional one may be of a task that was begun anew and knew
// other ticks: it is as good as ours, since both give way to final rows.
func verify(ctx context.Context, store stream.Objects, staged string, want file) error {
	size := int64(-1)
	err := store.List(ctx, want.Key, func(o stream.Object) error {
		if o.Key == want.Key {
			size = o.Size
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case size < 0:
		return stream.Mark(stream.Retry, errors.New("the copy does not show in the store's listing"))
	case strings.HasPrefix(want.Key, columnfile.ProvisionalRoot):
		return nil
	case strings.HasPrefix(want.Key, columnfile.ControlRoot):
		return verifyControls(ctx, store, staged, want)
	case size == want.Size:
		return nil
	}
	return compare(ctx, store, staged, want.Key)
}

// verifyControls compares the content of files that are small: two with other content may well have one size.
func verifyControls(ctx context.Context, store stream.Objects, staged string, want file) error {
	data, err := store.Get(ctx, want.Key)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) == want.SHA256 {
		return nil
	}
	ours, err := controlsIn(ctx, store, staged)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was revealed and collected long ago
	}
	if err != nil {
		return err
	}
	theirs, err := controlsIn(ctx, store, want.Key)
	if err != nil {
		return err
	}
	if slices.Equal(ours, theirs) {
		return nil
	}
	return stream.Mark(stream.Fatal, fmt.Errorf("a file of that name exists and holds other control records; probably the topic was deleted and "+
		"created again, or the task was begun anew: move the old files of this topic and instance away (%s is kept for this one)", staged))
}

func controlsIn(ctx context.Context, store stream.Objects, key string) ([]stream.Control, error) {
	f, err := open(ctx, store, key)
	if err != nil {
		return nil, err
	}
	_, list, err := columnfile.ReadControls(f)
	return list, err
}

// compare decides about a visible file of another size: an older version of the program may have compressed the same rows
// otherwise, or it belongs to a topic that was deleted and created again.
func compare(ctx context.Context, store stream.Objects, staged, visible string) error {
	ours, err := open(ctx, store, staged)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was revealed and collected long ago
	}
	if err != nil {
		return err
	}
	theirs, err := open(ctx, store, visible)
	if err != nil {
		return err
	}
	if columnfile.SameMeta(ours, theirs) {
		return nil
	}
	return stream.Mark(stream.Fatal, fmt.Errorf("a file of that name exists and holds other rows; probably the topic was "+
		"deleted and created again, or another deployment writes to the same store: move the old files away (%s is kept for this one)", staged))
}

func open(ctx context.Context, store stream.Objects, key string) (*columnfile.File, error) {
	data, err := store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	f, err := columnfile.Open(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return f, nil
}
