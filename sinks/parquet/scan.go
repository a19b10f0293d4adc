package parquet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// Query chooses what a scan reads.
type Query struct {
	// From and To bound the event time of raw rows, From <= time < To, and the ends of windows, From < end <= To.
	// stream.NoTime and stream.MaxTime are no bounds.
	From, To stream.Time
	// Schema is the columns that are wanted; a file that lacks one gives nulls. nil takes the columns of each file, but for
	// those that the archive has added.
	Schema *stream.Schema
}

// All is the query for every row and column.
func All() Query { return Query{From: stream.NoTime, To: stream.MaxTime} }

// ScanRaw reads the events of a topic, file by file in the order of hours, then partitions and offsets; in a file by time.
// Batches have time, offset, broker timestamp, size and producer of each event. A batch is lent until visit returns; its
// error ends the scan and comes back unchanged. Files outside the time range are not fetched, row groups outside it and
// columns that are not wanted are not decoded.
func ScanRaw(ctx context.Context, store stream.Objects, topic string, q Query, visit func(columnfile.RawMeta, *stream.Batch) error) error {
	s := scan{store: store, query: q}
	hourOf := func(key string) (stream.Time, bool) {
		n, ok := columnfile.ParseRawName(key)
		return n.Hour, ok
	}
	return s.files(ctx, columnfile.RawPrefix(topic), hourOf, func(f *columnfile.File) error {
		meta, err := columnfile.ReadRawMeta(f)
		if err != nil {
			return err
		}
		return s.raw(f, func(b *stream.Batch) error { return visit(meta, b) })
	})
}

// ScanRollups reads the final rollups of an output, of one instance or, if instance is "", of all. Each batch is rows of one
// window with Phase Final, as far as one task had them: complete slots, in slot order. Files may come in any order. The version of a batch is offset 0 with the revision for step, so that a
// receiver that keeps the newest keeps the right one, and everything live is newer. Otherwise it is ScanRaw.
func ScanRollups(ctx context.Context, store stream.Objects, of columnfile.RollupName, q Query, visit func(columnfile.RollupMeta, *stream.Batch) error) error {
	s := scan{store: store, query: q}
	hourOf := func(key string) (stream.Time, bool) {
		hour, name, ok := columnfile.ParseRollupHour(key)
		return hour, ok && (of.Instance == "" || strings.HasPrefix(name, columnfile.InstancePrefix(of.Instance)))
	}
	return s.files(ctx, columnfile.RollupPrefix(of.Pipeline, of.Output), hourOf, func(f *columnfile.File) error {
		meta, err := columnfile.ReadRollupMeta(f)
		if err != nil || of.Instance != "" && meta.Instance != of.Instance {
			return err
		}
		return s.rollups(f, func(b *stream.Batch) error { return visit(meta, b) })
	})
}

// scan is a scan in progress.
type scan struct {
	store  stream.Objects
	query  Query
	reader columnfile.Reader
	batch  *stream.Batch
	view   stream.Batch
	failed error // what the visitor returned
}

// maxDays is up to how many days are listed one by one; beyond, one listing of everything costs less.
const maxDays = 400

// files fetches the files whose hour meets the query, in the order of keys.
func (s *scan) files(ctx context.Context, prefix string, hourOf func(key string) (stream.Time, bool), read func(*columnfile.File) error) error {
	var keys []string
	for _, p := range s.prefixes(prefix) {
		err := s.store.List(ctx, p, func(o stream.Object) error {
			// An hour of rollups holds windows that end up to its own end, so both kinds meet the query alike.
			hour, ok := hourOf(o.Key)
			if ok && hour.Add(time.Hour) > s.query.From && hour < s.query.To {
				keys = append(keys, o.Key)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("scan %s: %w", prefix, err)
		}
	}
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := open(ctx, s.store, key)
		if err == nil {
			err = read(f)
		}
		if s.failed != nil {
			return s.failed
		}
		if err != nil {
			return fmt.Errorf("scan %s: %w", key, err)
		}
	}
	return nil
}

func (s *scan) prefixes(prefix string) []string {
	const day = 24 * time.Hour
	from, to := s.query.From, s.query.To
	if from == stream.NoTime || to == stream.MaxTime || to.Sub(from) > maxDays*day {
		return []string{prefix}
	}
	var days []string
	for d := from.Floor(day); d < to; d = d.Add(day) {
		days = append(days, prefix+columnfile.DatePrefix(d))
	}
	return days
}

// raw reads a file of events.
func (s *scan) raw(f *columnfile.File, visit func(*stream.Batch) error) error {
	for g := range f.Groups() {
		if low, high, ok := f.Bounds(g, columnfile.ColumnTime); ok && (stream.Time(high) < s.query.From || stream.Time(low) >= s.query.To) {
			continue
		}
		b := s.empty(f)
		if err := s.columns(f, g, b); err != nil {
			return err
		}
		if err := s.reader.ReadEvents(f, g, b); err != nil {
			return err
		}
		b.SetLen(len(b.Time))
		b.Phase = stream.Event
		inside := func(i int) bool { return b.Time[i] >= s.query.From && b.Time[i] < s.query.To }
		err := s.stretches(b, func(i, j int) bool { return inside(i) == inside(j) }, func(lo, hi int) error {
			if !inside(lo) {
				return nil
			}
			b.View(&s.view, lo, hi)
			return visit(&s.view)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// empty is the scan's batch, without rows, for the columns that are wanted of a file.
func (s *scan) empty(f *columnfile.File) *stream.Batch {
	if schema := s.wanted(f); s.batch == nil || s.batch.Schema != schema {
		s.batch = stream.NewBatch(schema)
	}
	s.batch.Reset()
	for i := range s.batch.Cols {
		if d := s.batch.Cols[i].Dict; d != nil && d.Size() > maxStrings {
			d.Reset()
		}
	}
	return s.batch
}

// columns appends the wanted columns of a row group.
func (s *scan) columns(f *columnfile.File, group int, b *stream.Batch) error {
	for i, field := range b.Schema.Fields {
		if err := s.reader.ReadOrNull(f, group, field.Name, &b.Cols[i]); err != nil {
			return err
		}
	}
	return nil
}

// maxStrings is the size at which a dictionary is begun anew.
const maxStrings = 16 << 20

func (s *scan) wanted(f *columnfile.File) *stream.Schema {
	if s.query.Schema != nil {
		return s.query.Schema
	}
	schema := &stream.Schema{}
	for _, field := range f.Schema().Fields {
		if field.Name[0] != '_' && !added(f, field.Name) {
			schema.Fields = append(schema.Fields, field)
		}
	}
	if s.batch != nil && equalSchemas(s.batch.Schema, schema) {
		return s.batch.Schema
	}
	return schema
}

func added(f *columnfile.File, name string) bool {
	if f.Schema().Index(columnfile.ColumnWindowEnd) < 0 {
		return false
	}
	return slices.Contains(rollupColumns(), name)
}

// stretches calls visit for every run of rows that are the same, and keeps its error.
func (s *scan) stretches(b *stream.Batch, same func(i, j int) bool, visit func(lo, hi int) error) error {
	for lo := 0; lo < b.Len(); {
		hi := lo + 1
		for hi < b.Len() && same(lo, hi) {
			hi++
		}
		if s.failed = visit(lo, hi); s.failed != nil {
			return s.failed
		}
		lo = hi
	}
	return nil
}
