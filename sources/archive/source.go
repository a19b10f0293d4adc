package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// Config says what to read.
type Config struct {
	Objects stream.Objects
	Topics  []string // empty: all
	// Since and Until bound the event time: Since <= time < Until. stream.NoTime and stream.MaxTime are no bounds.
	Since, Until stream.Time
	// Progress is told the bytes of each file when it has been read; from any reader's goroutine. It may be nil.
	Progress func(bytes int64)
}

// Default reads everything.
func Default() Config { return Config{Since: stream.NoTime, Until: stream.MaxTime} }

// Validate reports what is missing or contradicts itself.
func (c Config) Validate() error {
	switch {
	case c.Objects == nil:
		return errors.New("open archive: the object store is missing")
	case c.Since >= c.Until:
		return fmt.Errorf("open archive: nothing lies between %v and %v", c.Since, c.Until)
	}
	return nil
}

// Source is the archive as it was when it was opened. It implements stream.Source; all methods may be called from any
// goroutine.
type Source struct {
	config     Config
	partitions []stream.Partition // by topic, then number
	parts      map[stream.Partition][]part
	size       int64

	mu struct {
		sync.Mutex
		reading map[stream.Partition]bool // partitions whose reader has not reached the end
	}
	ended chan struct{} // closed when all have
}

// part is the files of one part of a partition that hold wanted hours.
type part struct {
	first, last int64
	files       []partFile // by hour
}

type partFile struct {
	key  string
	size int64
}

// Open lists the archive. The error of parts that overlap says which: two deployments have archived the topic into one
// store, or the topic was created anew.
func Open(ctx context.Context, c Config) (*Source, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Source{config: c, parts: map[stream.Partition][]part{}, ended: make(chan struct{})}
	found, err := s.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	for key, parts := range found {
		if err := s.add(ctx, key, parts); err != nil {
			return nil, fmt.Errorf("open archive: %w", err)
		}
	}
	slices.SortFunc(s.partitions, func(a, b stream.Partition) int {
		if a.Topic != b.Topic {
			return strings.Compare(a.Topic, b.Topic)
		}
		return int(a.Number - b.Number)
	})
	s.mu.reading = map[stream.Partition]bool{}
	for _, p := range s.partitions {
		s.mu.reading[p] = true
	}
	if len(s.partitions) == 0 {
		close(s.ended)
	}
	return s, nil
}

// place is a partition as names tell it.
type place struct {
	topic     string
	partition int32
}

// span is a part's first and last offset.
type span struct{ first, last int64 }

// list finds the files of wanted topics and hours.
func (s *Source) list(ctx context.Context) (map[place]map[span][]partFile, error) {
	found := map[place]map[span][]partFile{}
	for _, prefix := range s.prefixes() {
		err := s.config.Objects.List(ctx, prefix, func(o stream.Object) error {
			n, ok := columnfile.ParseRawName(o.Key)
			if !ok || n.Hour.Add(time.Hour) <= s.config.Since || n.Hour >= s.config.Until {
				return nil
			}
			at := place{n.Topic, n.Partition}
			if found[at] == nil {
				found[at] = map[span][]partFile{}
			}
			part := span{n.First, n.Last}
			found[at][part] = append(found[at][part], partFile{o.Key, o.Size}) // keys come by hour
			s.size += o.Size
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (s *Source) prefixes() (prefixes []string) {
	for _, topic := range s.config.Topics {
		prefixes = append(prefixes, columnfile.RawPrefix(topic))
	}
	if len(prefixes) == 0 {
		return []string{columnfile.RawRoot}
	}
	return prefixes
}

// add orders the parts of a partition. Its incarnation is in the metadata of every file; the first one's is taken, and the
// reader compares the others.
func (s *Source) add(ctx context.Context, at place, spans map[span][]partFile) error {
	parts := make([]part, 0, len(spans))
	for of, files := range spans {
		parts = append(parts, part{of.first, of.last, files})
	}
	slices.SortFunc(parts, func(a, b part) int {
		if a.first != b.first {
			return int(min(max(a.first-b.first, -1), 1))
		}
		return int(min(max(a.last-b.last, -1), 1))
	})
	for i := 1; i < len(parts); i++ {
		if a, b := parts[i-1], parts[i]; b.first <= a.last {
			return stream.Mark(stream.Fatal, fmt.Errorf("%s/%d: the part of offsets %d to %d overlaps with that of %d to %d: the topic was archived twice "+
				"into this store, or created anew; read a time range of one of them (--since, --until), or move the other away",
				at.topic, at.partition, a.first, a.last, b.first, b.last))
		}
	}
	_, meta, err := fetch(ctx, s.config.Objects, parts[0].files[0].key)
	if err != nil {
		return err
	}
	p := stream.Partition{Topic: at.topic, Number: at.partition, Incarnation: meta.Partition.Incarnation}
	s.partitions = append(s.partitions, p)
	s.parts[p] = parts
	return nil
}

// Found lists the partitions, by topic and number.
func (s *Source) Found() []stream.Partition { return slices.Clone(s.partitions) }

// Size is the bytes of all files that will be read.
func (s *Source) Size() int64 { return s.size }

// LogStart is the first offset of a partition that is read.
func (s *Source) LogStart(_ context.Context, p stream.Partition) (int64, error) {
	parts, ok := s.parts[p]
	if !ok {
		return 0, errUnknown(p)
	}
	return parts[0].first, nil
}

// Partitions is the number of partitions of the topic, as far as the archive shows.
func (s *Source) Partitions(_ context.Context, topic string) (n int32, err error) {
	for _, p := range s.partitions {
		if p.Topic == topic {
			n = max(n, p.Number+1)
		}
	}
	return n, nil
}

func errUnknown(p stream.Partition) error {
	return stream.Mark(stream.Fatal, fmt.Errorf("read archive: it has no partition %s/%d of incarnation %q", p.Topic, p.Number, p.Incarnation))
}

// Assign implements stream.Source: all partitions at once, and io.EOF when their readers have reached the end.
func (s *Source) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	if err := change(s.Found(), nil); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return io.EOF
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), change(nil, s.Found()))
	}
}

// end notes that a partition was read to its end.
func (s *Source) end(p stream.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mu.reading[p] {
		return
	}
	delete(s.mu.reading, p)
	if len(s.mu.reading) == 0 {
		close(s.ended)
	}
}

// Open implements stream.Source. Only the schema of the decoder is used.
func (s *Source) Open(_ context.Context, p stream.Partition, offset int64, d stream.Decoder) (stream.Reader, error) {
	parts, ok := s.parts[p]
	if !ok {
		return nil, errUnknown(p)
	}
	first, end := parts[0].first, parts[len(parts)-1].last+1
	if offset < first || offset > end {
		return nil, stream.Mark(stream.Fatal, fmt.Errorf("read archive %s/%d from offset %d: it holds the offsets %d to %d; "+
			"the events before are in an older copy of the archive or nowhere", p.Topic, p.Number, offset, first, end-1))
	}
	i, _ := slices.BinarySearchFunc(parts, offset, func(x part, o int64) int { return int(min(max(x.last-o, -1), 1)) })
	return newReader(s, p, parts[i:], offset, d.Schema()), nil
}
