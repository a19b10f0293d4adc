package parquet

import (
	"cmp"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// rawPart is a part while it grows: a file for each UTC hour of event time.
type rawPart struct {
	// Of the task's goroutine until Stage, then of the Work's.
	first, last int64 // offsets
	rows        int64
	encoding    chan struct{} // closed when the row group that was given last is encoded; nil: there was none

	// Of the goroutine that encodes; encoding orders them.
	writer *columnfile.Writer
	hours  map[stream.Time]*columnfile.Builder
	err    error

	size atomic.Int64 // about the bytes of memory of the files
}

// count notes that rows with these offsets belong to the part.
func (p *rawPart) count(offsets []int64) {
	if p.rows == 0 {
		p.first = offsets[0]
	}
	p.rows += int64(len(offsets))
	p.last = offsets[len(offsets)-1]
}

// encodeBeside encodes a row group on a goroutine of its own, after the one before, and passes the rows to done then.
func (p *rawPart) encodeBeside(rows *rawRows, of stream.Partition, done func(*rawRows)) {
	p.wait()
	ready := make(chan struct{})
	p.encoding = ready
	go func() {
		defer close(ready)
		defer func() {
			if v := recover(); v != nil { // it must not take the process down: Stage tells
				p.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		if p.err == nil {
			p.err = p.add(rows, of)
		}
		done(rows)
	}()
}

// wait returns when nothing is being encoded.
func (p *rawPart) wait() {
	if p.encoding != nil {
		<-p.encoding
	}
}

// finish adds the last rows and returns the files.
func (p *rawPart) finish(rows *rawRows, of stream.Partition) ([]encoded, error) {
	p.wait()
	if p.err == nil && rows.len() > 0 {
		p.err = p.add(rows, of)
	}
	if p.err != nil {
		return nil, p.err
	}
	meta := columnfile.RawMeta{Partition: of, First: p.first, Last: p.last, Rows: p.rows, Files: len(p.hours)}
	table, err := rows.table(meta)
	if err != nil {
		return nil, err
	}
	files := make([]encoded, 0, len(p.hours))
	for _, hour := range slices.Sorted(maps.Keys(p.hours)) {
		data, err := p.writer.Finish(p.hours[hour], table)
		if err != nil {
			return nil, err
		}
		name := columnfile.RawName{Topic: of.Topic, Partition: of.Number, First: p.first, Last: p.last, Hour: hour}
		files = append(files, newEncoded(name.Key(), data))
	}
	return files, nil
}

// add encodes rows, those of each hour as row groups of its file. Offsets ascend in a part, so rows of equal time stay in
// order of offset.
func (p *rawPart) add(rows *rawRows, of stream.Partition) (err error) {
	if p.writer == nil {
		p.hours = map[stream.Time]*columnfile.Builder{}
		if p.writer, err = columnfile.NewWriter(); err != nil {
			return err
		}
	}
	table, err := rows.table(columnfile.RawMeta{Partition: of})
	if err != nil {
		return err
	}
	order := columnfile.Order(rows.time)
	for lo := 0; lo < len(order); {
		hour := stream.Time(rows.time[order[lo]]).Floor(time.Hour)
		n, _ := slices.BinarySearchFunc(order[lo:], int64(hour.Add(time.Hour)), func(row uint32, t int64) int { return cmp.Compare(rows.time[row], t) })
		file := p.hours[hour]
		if file == nil {
			file = new(columnfile.Builder)
			p.hours[hour] = file
		}
		before := file.Size()
		if err := p.writer.Append(file, table, order[lo:lo+n]); err != nil {
			return err
		}
		p.size.Add(file.Size() - before)
		lo += n
	}
	return nil
}

// table lists the columns of a raw file.
func (p *rawRows) table(meta columnfile.RawMeta) (*columnfile.Table, error) {
	t := &columnfile.Table{Meta: meta.KeyValues(), SortedBy: []string{columnfile.ColumnTime, columnfile.ColumnOffset}}
	t.Columns = append(t.Columns, required(columnfile.ColumnTime, stream.Timestamp, p.time))
	for i, f := range p.schema.Fields {
		switch {
		case f.Name == columnfile.ColumnTime && f.Kind == stream.Timestamp:
			continue // the event time stands first
		case f.Name == columnfile.ColumnTime || f.Name[0] == '_':
			return nil, fmt.Errorf("the name of column %s belongs to the archive", f.Name)
		}
		t.Columns = append(t.Columns, columnfile.Column{Name: f.Name, Column: p.cols[i]})
	}
	number := required(columnfile.ColumnPartition, stream.Int, []int64{int64(meta.Partition.Number)})
	number.Same = true
	t.Columns = append(t.Columns, number,
		required(columnfile.ColumnOffset, stream.Int, p.offset),
		required(columnfile.ColumnTimestamp, stream.Timestamp, p.timestamp),
		required(columnfile.ColumnBytes, stream.Int, widen(p.bytes)),
		columnfile.Column{Name: columnfile.ColumnProducer, Column: p.producers()})
	return t, nil
}

func required(name string, kind stream.Kind, ints []int64) columnfile.Column {
	return columnfile.Column{Name: name, Required: true, Column: stream.Column{Kind: kind, Ints: ints}}
}

func widen[T uint64 | uint32](from []T) []int64 {
	to := make([]int64, len(from))
	for i, v := range from {
		to[i] = int64(v)
	}
	return to
}

// producers are the hashes of producers, null where a reader finds them in the columns (columnfile.Producers).
func (p *rawRows) producers() stream.Column {
	follow := columnfile.NewProducers(func(name string) *stream.Column {
		if i := p.schema.Index(name); i >= 0 && p.schema.Fields[i].Kind == stream.String {
			return &p.cols[i]
		}
		return nil
	})
	c := stream.Column{Kind: stream.Int, Ints: widen(p.producer), Null: make([]bool, len(p.producer))}
	for row, hash := range p.producer {
		c.Null[row] = follow.Hash(row) == hash
	}
	return c
}
