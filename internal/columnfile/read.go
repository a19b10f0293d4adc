package columnfile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tidewatch/tidewatch/stream"
)

// File is an open Parquet file, ours or one that another tool has rewritten. Columns that have no kind of ours (nested
// ones, decimals and the like) do not show. It is safe for concurrent use.
type File struct {
	data   []byte
	file   *parquet.File
	schema *stream.Schema
	leaves []leaf // by field of schema
}

type leaf struct {
	index int   // of the column chunk
	unit  int64 // nanoseconds of a timestamp's unit
}

// ErrDamaged is wrapped by the errors of files that are no Parquet files or do not hold what they say.
var ErrDamaged = errors.New("the file is damaged")

// Open reads the footer of a file. The data must not change while the File is in use.
func Open(data []byte) (f *File, err error) {
	defer guard("open file", &err)
	if err := checkFooter(data); err != nil {
		return nil, fmt.Errorf("open file: %w: %w", ErrDamaged, err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("open file: %w: %w", ErrDamaged, err)
	}
	f = &File{data: data, file: file, schema: &stream.Schema{}}
	for _, c := range file.Root().Columns() {
		kind, unit := kindOf(c)
		if kind == 0 {
			continue
		}
		f.schema.Fields = append(f.schema.Fields, stream.Field{Name: c.Name(), Kind: kind})
		f.leaves = append(f.leaves, leaf{index: c.Index(), unit: unit})
	}
	return f, nil
}

// guard turns a panic of the Parquet library, which some damaged files cause, into an error.
func guard(verb string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: %w: %v", verb, ErrDamaged, p)
	}
}

// kindOf is the kind of a column, 0 if it has none.
func kindOf(c *parquet.Column) (kind stream.Kind, unit int64) {
	if !c.Leaf() || c.Repeated() {
		return 0, 0
	}
	logical := c.Type().LogicalType()
	switch c.Type().Kind() {
	case parquet.Boolean:
		return stream.Bool, 0
	case parquet.Float, parquet.Double:
		return stream.Float, 0
	case parquet.Int32, parquet.Int64:
		return integerKind(logical)
	case parquet.ByteArray:
		if logical == nil || logical.Value == nil {
			return stream.String, 0
		}
		switch logical.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			return stream.String, 0
		}
	case parquet.Int96, parquet.FixedLenByteArray:
	}
	return 0, 0
}

func integerKind(logical *format.LogicalType) (kind stream.Kind, unit int64) {
	if logical == nil || logical.Value == nil {
		return stream.Int, 0
	}
	switch t := logical.Value.(type) {
	case *format.IntType:
		return stream.Int, 0
	case *format.TimestampType:
		switch t.Unit.Value.(type) {
		case *format.MilliSeconds:
			return stream.Timestamp, int64(time.Millisecond)
		case *format.MicroSeconds:
			return stream.Timestamp, int64(time.Microsecond)
		case *format.NanoSeconds:
			return stream.Timestamp, 1
		}
	}
	return 0, 0
}

// Schema lists the columns in the order of the file.
func (f *File) Schema() *stream.Schema { return f.schema }

// Rows is the number of rows.
func (f *File) Rows() int64 { return f.file.NumRows() }

// Meta returns an entry of the file's metadata.
func (f *File) Meta(key string) (value string, ok bool) { return f.file.Lookup(key) }

// Groups is the number of row groups.
func (f *File) Groups() int { return len(f.file.RowGroups()) }

// GroupRows is the number of rows of a row group.
func (f *File) GroupRows(group int) int { return int(f.file.RowGroups()[group].NumRows()) }

// Bounds returns what the statistics say about an Int or Timestamp column of a row group: all values that are not null lie
// from low to high. ok is false where they say nothing.
func (f *File) Bounds(group int, column string) (low, high int64, ok bool) {
	i := f.schema.Index(column)
	if i < 0 || (f.schema.Fields[i].Kind != stream.Int && f.schema.Fields[i].Kind != stream.Timestamp) {
		return 0, 0, false
	}
	chunk, isFile := f.file.RowGroups()[group].ColumnChunks()[f.leaves[i].index].(*parquet.FileColumnChunk)
	if !isFile {
		return 0, 0, false
	}
	lowest, highest, ok := chunk.Bounds()
	if !ok {
		return 0, 0, false
	}
	unit := max(f.leaves[i].unit, 1)
	return scale(lowest.Int64(), unit), scale(highest.Int64(), unit), true
}

// scale converts to nanoseconds, and stops at the ends of what they can say.
func scale(v, unit int64) int64 {
	switch {
	case unit == 1:
		return v
	case v > math.MaxInt64/unit:
		return math.MaxInt64
	case v < math.MinInt64/unit:
		return math.MinInt64
	}
	return v * unit
}
