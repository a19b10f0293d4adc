package columnfile

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tidewatch/tidewatch/stream"
)

// GroupRows is how many rows a row group holds at most: enough for the columns to compress, few enough for readers to skip
// and to share the work.
const GroupRows = 1 << 17

// createdBy never names a version, so that an upgrade does not change files.
const createdBy = "tidewatch"

// magic begins and ends a Parquet file.
const magic = "PAR1"

// Writer encodes files. It holds buffers that are used again, and belongs to one goroutine.
type Writer struct {
	zstd   *zstd.Encoder
	header bytes.Buffer
	thrift *thrift.Encoder

	out    []byte // of the file that is being written
	spare  []byte
	body   []byte
	packed []byte
	levels []byte
	ints   []int64
	floats []float64
	bits   []byte
	text   textScratch
}

// NewWriter returns a writer without memory to speak of; it grows to some MB.
func NewWriter() (*Writer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	w := &Writer{zstd: enc}
	w.thrift = thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&w.header))
	return w, nil
}

// Builder is a file that grows by row groups. The zero value is an empty file. It belongs to one goroutine at a time.
type Builder struct {
	out    []byte
	groups []format.RowGroup
	rows   int64
}

// Size is about the bytes of memory that the file takes.
func (b *Builder) Size() int64 { return int64(cap(b.out)) }

// Encode returns a file with the given rows of t, in their order. The file belongs to the caller.
func (w *Writer) Encode(t *Table, rows []uint32) ([]byte, error) {
	b := &Builder{out: w.spare[:0]}
	defer func() { w.spare = b.out }()
	if err := w.Append(b, t, rows); err != nil {
		return nil, err
	}
	if err := w.finish(b, t); err != nil {
		return nil, err
	}
	return bytes.Clone(b.out), nil
}

// Append adds the given rows of t to a file, in their order, as row groups of their own.
func (w *Writer) Append(b *Builder, t *Table, rows []uint32) error {
	if err := t.check(rows); err != nil {
		return err
	}
	defer w.lend(b)()
	if len(w.out) == 0 {
		w.out = append(w.out, magic...)
	}
	for lo := 0; lo < len(rows); lo += GroupRows {
		group, err := w.group(t, rows[lo:min(lo+GroupRows, len(rows))])
		if err != nil {
			return err
		}
		group.Ordinal = int16(len(b.groups))
		b.groups = append(b.groups, group)
		b.rows += group.NumRows
	}
	return nil
}

// Finish returns the file, which belongs to the caller. Of t, only the metadata and the names and kinds of the columns count;
// the columns are those that were appended.
func (w *Writer) Finish(b *Builder, t *Table) ([]byte, error) {
	err := w.finish(b, t)
	return b.out, err
}

func (w *Writer) finish(b *Builder, t *Table) error {
	defer w.lend(b)()
	meta := format.FileMetaData{Version: 2, Schema: schemaElements(t), NumRows: b.rows, CreatedBy: createdBy, RowGroups: b.groups}
	for _, kv := range t.Meta {
		meta.KeyValueMetadata = append(meta.KeyValueMetadata, format.KeyValue{Key: kv.Key, Value: kv.Value})
	}
	for range t.Columns {
		meta.ColumnOrders = append(meta.ColumnOrders, format.ColumnOrder{Value: new(format.TypeDefinedOrder)})
	}
	size, err := w.write(&meta)
	if err != nil {
		return err
	}
	w.out = binary.LittleEndian.AppendUint32(w.out, uint32(size))
	w.out = append(w.out, magic...)
	return nil
}

// lend lets the writer write to the file until the returned function is called.
func (w *Writer) lend(b *Builder) (back func()) {
	w.out = b.out
	return func() { b.out, w.out = w.out, nil }
}

// write appends a Thrift structure and returns its size.
func (w *Writer) write(v any) (int, error) {
	w.header.Reset()
	if err := w.thrift.Encode(v); err != nil {
		return 0, fmt.Errorf("encode file metadata: %w", err)
	}
	w.out = append(w.out, w.header.Bytes()...)
	return w.header.Len(), nil
}

func (w *Writer) group(t *Table, rows []uint32) (format.RowGroup, error) {
	g := format.RowGroup{NumRows: int64(len(rows)), FileOffset: int64(len(w.out))}
	for _, name := range t.SortedBy {
		g.SortingColumns = append(g.SortingColumns, format.SortingColumn{ColumnIdx: int32(t.index(name))})
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		k := &chunk{w: w, column: c, begin: len(w.out), meta: format.ColumnMetaData{
			Type: physical(c.Kind), PathInSchema: []string{c.Name}, Codec: format.Zstd, NumValues: int64(len(rows)),
		}}
		if err := k.encode(rows); err != nil {
			return g, fmt.Errorf("encode column %s: %w", c.Name, err)
		}
		g.Columns = append(g.Columns, format.ColumnChunk{MetaData: k.meta})
		g.TotalByteSize += k.meta.TotalUncompressedSize
		g.TotalCompressedSize += k.meta.TotalCompressedSize
	}
	return g, nil
}

// schemaElements is the flattened schema: a root, then one leaf a column.
func schemaElements(t *Table) []format.SchemaElement {
	elements := []format.SchemaElement{{Name: "tidewatch", NumChildren: thrift.New(int32(len(t.Columns)))}}
	for i := range t.Columns {
		c := &t.Columns[i]
		e := format.SchemaElement{Name: c.Name, Type: thrift.New(physical(c.Kind)), RepetitionType: thrift.New(format.Optional)}
		if c.Required {
			e.RepetitionType = thrift.New(format.Required)
		}
		switch c.Kind {
		case stream.String:
			e.ConvertedType = thrift.New(deprecated.UTF8)
			e.LogicalType = format.LogicalType{Value: new(format.StringType)}
		case stream.Timestamp:
			e.LogicalType = format.LogicalType{Value: &format.TimestampType{
				IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: new(format.NanoSeconds)},
			}}
		case stream.Int, stream.Float, stream.Bool:
		}
		elements = append(elements, e)
	}
	return elements
}

func physical(k stream.Kind) format.Type {
	switch k {
	case stream.String:
		return format.ByteArray
	case stream.Float:
		return format.Double
	case stream.Bool:
		return format.Boolean
	case stream.Int, stream.Timestamp:
	}
	return format.Int64
}
