package archive

import (
	"context"
	"fmt"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// fetch reads one file and what it says about itself.
func fetch(ctx context.Context, store stream.Objects, key string) (*columnfile.File, columnfile.RawMeta, error) {
	data, err := store.Get(ctx, key)
	if err != nil {
		return nil, columnfile.RawMeta{}, err
	}
	f, err := columnfile.Open(data)
	if err != nil {
		return nil, columnfile.RawMeta{}, stream.Mark(stream.Fatal, fmt.Errorf("%s: %w", key, err))
	}
	meta, err := columnfile.ReadRawMeta(f)
	if err != nil {
		return nil, meta, stream.Mark(stream.Fatal, fmt.Errorf("%s: %w", key, err))
	}
	return f, meta, nil
}

// loaded is a part whose files are in memory.
type loaded struct {
	part  part
	meta  columnfile.RawMeta
	files []*columnfile.File
	err   error
}

// load fetches the files of a part of partition p, and checks that they belong together.
func (s *Source) load(ctx context.Context, p stream.Partition, of part) loaded {
	l := loaded{part: of}
	for i, file := range of.files {
		f, meta, err := fetch(ctx, s.config.Objects, file.key)
		if err != nil {
			l.err = err
			return l
		}
		switch {
		case meta.Partition != p:
			l.err = fatal("%s holds %s/%d of incarnation %q, wanted is %q: the topic was deleted and created again; read the two "+
				"apart with --since and --until", file.key, meta.Partition.Topic, meta.Partition.Number, meta.Partition.Incarnation, p.Incarnation)
			return l
		case meta.First != of.first || meta.Last != of.last:
			l.err = fatal("%s says that its part has the offsets %d to %d: the file was renamed", file.key, meta.First, meta.Last)
			return l
		}
		if i == 0 {
			l.meta = meta
		}
		l.files = append(l.files, f)
		if s.config.Progress != nil {
			s.config.Progress(file.size)
		}
	}
	whole := s.config.Since == stream.NoTime && s.config.Until == stream.MaxTime
	if whole && len(l.files) != l.meta.Files {
		l.err = fatal("the part of offsets %d to %d of %s/%d has %d files, found are %d: it is being revealed this moment (try again), or files were "+
			"deleted (read the time that is left with --since and --until)", of.first, of.last, p.Topic, p.Number, l.meta.Files, len(l.files))
	}
	return l
}

func fatal(format string, args ...any) error {
	return stream.Mark(stream.Fatal, fmt.Errorf(format, args...))
}
