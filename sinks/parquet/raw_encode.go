package parquet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// encode makes one file for each UTC hour of event time. Offsets ascend in a part, so rows of equal time stay in order of
// offset.
func (p *rawPart) encode(meta columnfile.RawMeta) ([]encoded, error) {
	order := columnfile.Order(p.time)
	var hours [][]uint32
	for lo := 0; lo < len(order); {
		end := int64(p.hour(order[lo]).Add(time.Hour))
		n, _ := slices.BinarySearchFunc(order[lo:], end, func(row uint32, t int64) int { return cmp.Compare(p.time[row], t) })
		hours, lo = append(hours, order[lo:lo+n]), lo+n
	}
	meta.Files = len(hours)
	table, err := p.table(meta)
	if err != nil {
		return nil, err
	}
	w, err := columnfile.NewWriter()
	if err != nil {
		return nil, err
	}
	files := make([]encoded, 0, len(hours))
	for _, rows := range hours {
		data, err := w.Encode(table, rows)
		if err != nil {
			return nil, err
		}
		name := columnfile.RawName{
			Topic: meta.Partition.Topic, Partition: meta.Partition.Number, First: meta.First, Last: meta.Last,
			Hour: p.hour(rows[0]),
		}
		files = append(files, newEncoded(name.Key(), data))
	}
	return files, nil
}

func (p *rawPart) hour(row uint32) stream.Time { return stream.Time(p.time[row]).Floor(time.Hour) }

// table lists the columns of a raw file.
func (p *rawPart) table(meta columnfile.RawMeta) (*columnfile.Table, error) {
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
		required(columnfile.ColumnBytes, stream.Int, widen(p.bytes)))
	if !p.producersFollow() {
		t.Columns = append(t.Columns, required(columnfile.ColumnProducer, stream.Int, widen(p.producer)))
	}
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

// producersFollow reports whether every producer is what a reader finds in the columns (columnfile.Producers), so that the
// hashes need not be stored.
func (p *rawPart) producersFollow() bool {
	producers := columnfile.NewProducers(func(name string) *stream.Column {
		if i := p.schema.Index(name); i >= 0 && p.schema.Fields[i].Kind == stream.String {
			return &p.cols[i]
		}
		return nil
	})
	for row, want := range p.producer {
		if producers.Hash(row) != want {
			return false
		}
	}
	return true
}
