package columnfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// pageCeiling is the size of the largest page that is read, and so of the buffers that a damaged header can ask for.
// Writers aim at 1 MiB.
const pageCeiling = 256 << 20

// checkFooter compares the length of the footer with the file, because the library makes a buffer of any length that is
// written there.
func checkFooter(data []byte) error {
	const trailer = 8
	if len(data) < len(magic)+trailer || string(data[:len(magic)]) != magic || string(data[len(data)-len(magic):]) != magic {
		return errors.New("it is no Parquet file")
	}
	if size := binary.LittleEndian.Uint32(data[len(data)-trailer:]); int64(size) > int64(len(data)-trailer-len(magic)) {
		return fmt.Errorf("its footer is said to have %d bytes, the file has %d", size, len(data))
	}
	return nil
}

func (f *File) checkPages(group, leaf int) error {
	groups := f.file.Metadata().RowGroups
	if group >= len(groups) || leaf >= len(groups[group].Columns) {
		return errors.New("a row group lacks a column")
	}
	column := &groups[group].Columns[leaf].MetaData
	if !f.ofType(leaf, column.Type) {
		return errors.New("the footer says two types of a column: it is damaged")
	}
	return checkPages(f.data, column, groups[group].NumRows)
}

// ofType compares the type of a column chunk with that of the schema: the footer has no checksum, but it says this twice, and a
// wrong one would give wrong values.
func (f *File) ofType(leaf int, want format.Type) bool {
	for _, e := range f.file.Metadata().Schema {
		if !e.Type.Valid {
			continue // a group of columns
		}
		if leaf == 0 {
			return e.Type.V == want
		}
		leaf--
	}
	return false
}

// checkPages compares the headers of a column chunk's pages with the file, before the library makes buffers of the sizes
// written there. What lies between the headers has checksums.
func checkPages(data []byte, c *format.ColumnMetaData, rows int64) error {
	switch c.Codec {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Zstd:
	default:
		return fmt.Errorf("compression %v is not supported", c.Codec)
	}
	begin, size := c.DataPageOffset, c.TotalCompressedSize
	if c.DictionaryPageOffset > 0 {
		begin = min(begin, c.DictionaryPageOffset)
	}
	if begin < 0 || size < 0 || begin > int64(len(data)) || size > int64(len(data))-begin {
		return errors.New("a column lies beyond the end of the file")
	}
	rest := bytes.NewReader(data[begin : begin+size])
	decoder := thrift.NewDecoder(new(thrift.CompactProtocol).NewReader(rest))
	for values := int64(0); values < rows; {
		var h format.PageHeader
		if err := decoder.Decode(&h); err != nil {
			return err
		}
		n := int64(h.DataPageHeader.V.NumValues) + int64(h.DataPageHeaderV2.V.NumValues)
		switch {
		case h.CompressedPageSize < 0 || int64(h.CompressedPageSize) > int64(rest.Len()):
			return fmt.Errorf("a page is said to have %d bytes, the column has %d more", h.CompressedPageSize, rest.Len())
		case h.UncompressedPageSize < 0 || h.UncompressedPageSize > pageCeiling:
			return fmt.Errorf("a page is said to take %d bytes, the limit is %d", h.UncompressedPageSize, pageCeiling)
		case n < 0 || n > rows-values || h.DictionaryPageHeader.V.NumValues < 0 || h.DictionaryPageHeader.V.NumValues > h.UncompressedPageSize:
			return fmt.Errorf("a page is said to have %d values in %d rows", n, rows)
		}
		values += n
		if _, err := rest.Seek(int64(h.CompressedPageSize), 1); err != nil {
			return err
		}
	}
	return nil
}
