package columnfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/tidewatch/tidewatch/stream"
)

// chunk writes the values of one column in one row group.
type chunk struct {
	w      *Writer
	column *Column
	begin  int // offset in the file
	meta   format.ColumnMetaData
}

func (k *chunk) encode(rows []uint32) error {
	rows, err := k.levels(rows)
	if err != nil {
		return err
	}
	switch k.column.Kind {
	case stream.String:
		return k.strings(rows)
	case stream.Float:
		return k.floats(rows)
	case stream.Bool:
		return k.bools(rows)
	case stream.Int, stream.Timestamp:
		return k.ints(rows)
	}
	return fmt.Errorf("kind %v cannot be stored", k.column.Kind)
}

// levels encodes which rows have a value, and returns those. Pages of strings may be several to a chunk; they encode
// theirs again.
func (k *chunk) levels(rows []uint32) ([]uint32, error) {
	w, c := k.w, k.column
	w.levels = w.levels[:0]
	if c.Required {
		return rows, nil
	}
	if len(c.Null) == 0 || c.Same {
		w.levels = appendRun(w.levels, len(rows))
		return rows, nil
	}
	w.bits = w.bits[:0]
	valued := make([]uint32, 0, len(rows))
	for _, r := range rows {
		if c.Null[r] {
			w.bits = append(w.bits, 0)
			continue
		}
		w.bits = append(w.bits, 1)
		valued = append(valued, r)
	}
	k.meta.Statistics.NullCount = int64(len(rows) - len(valued))
	if len(valued) == len(rows) { // a batch has a mask for a null that lies in another part: the bytes must not tell
		w.levels = appendRun(w.levels, len(rows))
		return rows, nil
	}
	var err error
	w.levels, err = (&rle.Encoding{BitWidth: 1}).EncodeLevels(w.levels, w.bits)
	return valued, err
}

// appendRun is the encoding of n ones.
func appendRun(dst []byte, n int) []byte { return append(binary.AppendUvarint(dst, uint64(n)<<1), 1) }

func (k *chunk) ints(rows []uint32) (err error) {
	w, c := k.w, k.column
	w.ints = slices.Grow(w.ints[:0], len(rows))[:len(rows)]
	if c.Same {
		for i := range w.ints {
			w.ints[i] = c.Ints[0]
		}
	} else {
		for i, r := range rows {
			w.ints[i] = c.Ints[r]
		}
	}
	if len(rows) == 0 {
		return k.emptyPage()
	}
	low, high := w.ints[0], w.ints[0]
	for _, v := range w.ints {
		low, high = min(low, v), max(high, v)
	}
	k.bounds(binary.LittleEndian.AppendUint64(nil, uint64(low)), binary.LittleEndian.AppendUint64(nil, uint64(high)))
	if w.body, err = new(delta.BinaryPackedEncoding).EncodeInt64(w.body[:0], w.ints); err != nil {
		return err
	}
	return k.page(int(k.meta.NumValues), int(k.meta.Statistics.NullCount), format.DeltaBinaryPacked)
}

func (k *chunk) floats(rows []uint32) error {
	w, c := k.w, k.column
	w.floats = slices.Grow(w.floats[:0], len(rows))[:len(rows)]
	low, high := math.Inf(1), math.Inf(-1)
	for i, r := range rows {
		v := c.Floats[at(r, c.Same)]
		w.floats[i] = v
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
	}
	if len(rows) == 0 {
		return k.emptyPage()
	}
	if low <= high { // there is a number: a NaN has no place in the order
		// Either zero may stand for both, so the lower bound is the negative one and the upper bound the positive one.
		if low == 0 {
			low = math.Copysign(0, -1)
		}
		if high == 0 {
			high = 0
		}
		k.bounds(appendFloat(nil, low), appendFloat(nil, high))
	}
	w.body = slices.Grow(w.body[:0], 8*len(rows))
	for _, v := range w.floats {
		w.body = appendFloat(w.body, v)
	}
	return k.page(int(k.meta.NumValues), int(k.meta.Statistics.NullCount), format.Plain)
}

func appendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

func (k *chunk) bools(rows []uint32) error {
	w, c := k.w, k.column
	w.body = slices.Grow(w.body[:0], (len(rows)+7)/8)[:(len(rows)+7)/8]
	clear(w.body)
	trues := 0
	for i, r := range rows {
		if c.Ints[at(r, c.Same)] != 0 {
			w.body[i/8] |= 1 << (i % 8)
			trues++
		}
	}
	if len(rows) == 0 {
		return k.emptyPage()
	}
	k.bounds([]byte{bit(trues == len(rows))}, []byte{bit(trues > 0)})
	return k.page(int(k.meta.NumValues), int(k.meta.Statistics.NullCount), format.Plain)
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func at(row uint32, same bool) uint32 {
	if same {
		return 0
	}
	return row
}

func (k *chunk) bounds(low, high []byte) {
	k.meta.Statistics.MinValue, k.meta.Statistics.MaxValue = low, high
}

// emptyPage is the page of rows that are all null.
func (k *chunk) emptyPage() error {
	k.w.body = k.w.body[:0]
	return k.page(int(k.meta.NumValues), int(k.meta.NumValues), format.Plain)
}

// page writes the writer's levels and body as a data page.
func (k *chunk) page(values, nulls int, enc format.Encoding) error {
	body, compressed := k.compress()
	h := format.PageHeader{
		Type:                 format.DataPageV2,
		UncompressedPageSize: int32(len(k.w.levels) + len(k.w.body)),
		CompressedPageSize:   int32(len(k.w.levels) + len(body)),
		CRC:                  int32(crc32.Update(crc32.ChecksumIEEE(k.w.levels), crc32.IEEETable, body)),
		DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{
			NumValues: int32(values), NumNulls: int32(nulls), NumRows: int32(values), Encoding: enc,
			DefinitionLevelsByteLength: int32(len(k.w.levels)), IsCompressed: thrift.New(compressed),
		}),
	}
	if k.meta.DataPageOffset == 0 {
		k.meta.DataPageOffset = int64(len(k.w.out))
	}
	return k.put(&h, enc, k.w.levels, body)
}

// dictionary writes the writer's body as the dictionary page.
func (k *chunk) dictionary(values int) error {
	packed := k.w.zstd.EncodeAll(k.w.body, k.w.packed[:0]) // its header cannot say that a page is not compressed
	k.w.packed = packed
	h := format.PageHeader{
		Type:                 format.DictionaryPage,
		UncompressedPageSize: int32(len(k.w.body)),
		CompressedPageSize:   int32(len(packed)),
		CRC:                  int32(crc32.ChecksumIEEE(packed)),
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: int32(values), Encoding: format.Plain}),
	}
	k.meta.DictionaryPageOffset = int64(len(k.w.out))
	return k.put(&h, format.Plain, packed)
}

// compress returns the body as it is stored. What does not get smaller stays as it is.
func (k *chunk) compress() (body []byte, compressed bool) {
	w := k.w
	w.packed = w.zstd.EncodeAll(w.body, w.packed[:0])
	if len(w.body) == 0 || len(w.packed) >= len(w.body) {
		return w.body, false
	}
	return w.packed, true
}

func (k *chunk) put(h *format.PageHeader, enc format.Encoding, parts ...[]byte) error {
	size, err := k.w.write(h)
	if err != nil {
		return err
	}
	for _, p := range parts {
		k.w.out = append(k.w.out, p...)
	}
	k.meta.TotalUncompressedSize += int64(size) + int64(h.UncompressedPageSize)
	k.meta.TotalCompressedSize += int64(size) + int64(h.CompressedPageSize)
	k.note(h.Type, enc)
	return nil
}

// note keeps the statistics of encodings, in the order of appearance.
func (k *chunk) note(page format.PageType, enc format.Encoding) {
	if !slices.Contains(k.meta.Encoding, enc) {
		k.meta.Encoding = append(k.meta.Encoding, enc)
	}
	for i := range k.meta.EncodingStats {
		if s := &k.meta.EncodingStats[i]; s.PageType == page && s.Encoding == enc {
			s.Count++
			return
		}
	}
	k.meta.EncodingStats = append(k.meta.EncodingStats, format.PageEncodingStats{PageType: page, Encoding: enc, Count: 1})
}
