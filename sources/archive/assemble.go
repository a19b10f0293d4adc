package archive

import (
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// assembly puts the rows of a part's files in order of offset. Its batch is filled anew for every part; dictionaries go on
// until they are large, so that readers can keep what they derive from a number.
type assembly struct {
	batch        *stream.Batch
	since, until stream.Time
	reader       columnfile.Reader
	events       *stream.Batch // event columns of one row group
	groups       []group
	column       stream.Column // one column of one row group
	attributes   *attributes
}

// group is a row group whose rows are wanted.
type group struct {
	file   *columnfile.File
	number int
	places []int32 // by row: its row in the batch, -1 if it is not wanted
}

// maxStrings is the size at which a dictionary is begun anew.
const maxStrings = 16 << 20

func newAssembly(schema *stream.Schema, since, until stream.Time) *assembly {
	return &assembly{
		batch: stream.NewBatch(schema), since: since, until: until, events: stream.NewBatch(&stream.Schema{}),
		attributes: newAttributes(schema),
	}
}

func (a *assembly) rows() int { return a.batch.Len() }

// assemble reads the rows from the given offset on.
func (a *assembly) assemble(l *loaded, from int64) error {
	rows, err := a.place(l, from)
	if err != nil {
		return err
	}
	b := a.batch
	resize(b, rows)
	for i := range a.groups {
		if err := a.fill(&a.groups[i]); err != nil {
			return err
		}
	}
	b.SetLen(rows)
	b.Phase = stream.Event
	return nil
}

// resize empties the batch and makes room for n rows, without nulls.
func resize(b *stream.Batch, n int) {
	b.Reset()
	b.Time, b.Timestamp, b.Offset = room(b.Time, n), room(b.Timestamp, n), room(b.Offset, n)
	b.Producer, b.Bytes = room(b.Producer, n), room(b.Bytes, n)
	for i := range b.Cols {
		c := &b.Cols[i]
		switch c.Kind {
		case stream.Float:
			c.Floats = room(c.Floats, n)
		case stream.String:
			if c.Dict.Size() > maxStrings {
				c.Dict.Reset()
			}
			c.IDs = room(c.IDs, n)
		case stream.Int, stream.Bool, stream.Timestamp:
			c.Ints = room(c.Ints, n)
		}
	}
}

func room[T any](s []T, n int) []T { return slices.Grow(s[:0], n)[:n] }

// place decides for every row of the part where it goes, and returns how many are wanted.
func (a *assembly) place(l *loaded, from int64) (rows int, err error) {
	a.groups = a.groups[:0]
	var offsets []int64 // of wanted rows, in the order of the files
	for _, f := range l.files {
		for g := range f.Groups() {
			if low, high, ok := f.Bounds(g, columnfile.ColumnTime); ok && (stream.Time(high) < a.since || stream.Time(low) >= a.until) {
				continue
			}
			places, err := a.wanted(f, g, from, &offsets)
			if err != nil {
				return 0, err
			}
			a.groups = append(a.groups, group{f, g, places})
		}
	}
	ranks, err := rank(offsets)
	if err != nil {
		return 0, err
	}
	for _, g := range a.groups {
		for i, p := range g.places {
			if p >= 0 {
				g.places[i] = ranks[p]
			}
		}
	}
	return len(ranks), nil
}

// wanted numbers the wanted rows of a row group and appends their offsets.
func (a *assembly) wanted(f *columnfile.File, number int, from int64, offsets *[]int64) ([]int32, error) {
	read := func(name string, kind stream.Kind) ([]int64, error) {
		c := stream.Column{Kind: kind}
		err := a.reader.Read(f, number, name, &c)
		return c.Ints, err
	}
	all, err := read(columnfile.ColumnOffset, stream.Int)
	if err != nil {
		return nil, err
	}
	times, err := read(columnfile.ColumnTime, stream.Timestamp)
	if err != nil {
		return nil, err
	}
	places := make([]int32, len(all))
	for i, o := range all {
		places[i] = -1
		if t := stream.Time(times[i]); o >= from && t >= a.since && t < a.until {
			places[i] = int32(len(*offsets))
			*offsets = append(*offsets, o)
		}
	}
	return places, nil
}

// rank returns for each offset how many are lower. Offsets of a part lie close together, so they are counted instead of
// compared where that is cheaper.
func rank(offsets []int64) ([]int32, error) {
	ranks := make([]int32, len(offsets))
	if len(offsets) == 0 {
		return ranks, nil
	}
	low, high := slices.Min(offsets), slices.Max(offsets)
	if span := uint64(high - low); span < uint64(4*len(offsets)+1024) {
		at := make([]int32, span+1) // 1 + index by distance
		for i, o := range offsets {
			if at[o-low] != 0 {
				return nil, fmt.Errorf("offset %d stands in it twice", o)
			}
			at[o-low] = int32(i) + 1
		}
		next := int32(0)
		for _, i := range at {
			if i > 0 {
				ranks[i-1] = next
				next++
			}
		}
		return ranks, nil
	}
	order := columnfile.Order(offsets)
	for n, i := range order {
		if n > 0 && offsets[order[n-1]] == offsets[i] {
			return nil, fmt.Errorf("offset %d stands in it twice", offsets[i])
		}
		ranks[i] = int32(n)
	}
	return ranks, nil
}
