package devstack

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// partition is a folder of the broker: partitions/<topic>-<number>.
type partition struct {
	topic  string
	number int32
	dir    string
}

// segment is a file of a partition, named after its first offset. The last one of a partition is still written to.
type segment struct {
	base    int64
	size    int64
	written time.Time // last
}

// partitions lists the partitions below the broker's folder.
func partitions(dir string) ([]partition, error) {
	parent := filepath.Join(dir, "partitions")
	entries, err := os.ReadDir(parent)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the broker's partitions: %w", err)
	}
	var all []partition
	for _, e := range entries {
		cut := strings.LastIndexByte(e.Name(), '-')
		if cut < 0 {
			continue
		}
		topic, err := url.PathUnescape(e.Name()[:cut])
		number, numberErr := strconv.ParseInt(e.Name()[cut+1:], 10, 32)
		if err == nil && numberErr == nil && e.IsDir() {
			all = append(all, partition{topic: topic, number: int32(number), dir: filepath.Join(parent, e.Name())})
		}
	}
	return all, nil
}

// segments lists the files of a partition, oldest first.
func (p partition) segments() ([]segment, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, fmt.Errorf("list the broker's files: %w", err)
	}
	var all []segment
	for _, e := range entries {
		name, isData := strings.CutSuffix(e.Name(), ".dat")
		base, err := strconv.ParseInt(name, 10, 64)
		if !isData || err != nil {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // retention has just removed it
		}
		if err != nil {
			return nil, fmt.Errorf("list the broker's files: %w", err)
		}
		all = append(all, segment{base: base, size: info.Size(), written: info.ModTime()})
	}
	slices.SortFunc(all, func(a, b segment) int { return cmp.Compare(a.base, b.base) })
	return all, nil
}

func (p partition) file(s segment) string {
	return filepath.Join(p.dir, strconv.FormatInt(s.base, 10)+".dat")
}
