package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

// blockSpec is a block to write.
type blockSpec struct {
	base, producer int64
	attributes     int16
	records        []kmsg.Record
	next           int64 // 0: behind the last record
}

// encode writes the block with package kmsg, whose layout is generated from Kafka's own.
func (s blockSpec) encode() []byte {
	b := kmsg.RecordBatch{
		FirstOffset: s.base, PartitionLeaderEpoch: 3, Magic: 2, Attributes: s.attributes, FirstTimestamp: 1000, MaxTimestamp: 2000,
		ProducerID: s.producer, NumRecords: int32(len(s.records)),
	}
	next := s.next
	for _, r := range s.records {
		b.Records = r.AppendTo(b.Records)
		if s.next == 0 {
			next = s.base + int64(r.OffsetDelta) + 1
		}
	}
	b.LastOffsetDelta = int32(next - s.base - 1)
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

// newRecord is a record with its length set.
func newRecord(delta int32, key, value []byte) kmsg.Record {
	r := kmsg.Record{OffsetDelta: delta, TimestampDelta64: int64(delta) * 10, Key: key, Value: value}
	r.Length = int32(len(r.AppendTo(nil)) - 1) // the length itself: one byte, as long as it is 0
	return r
}

func marker(base, producer int64, kind uint16) blockSpec {
	key := binary.BigEndian.AppendUint16([]byte{0, 0}, kind)
	return blockSpec{base: base, producer: producer, attributes: transactional | control, records: []kmsg.Record{newRecord(0, key, []byte{0, 0, 0, 0, 0, 0})}}
}

func TestBlockAgainstLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := blockSpec{base: rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "base"), producer: rapid.Int64().Draw(t, "producer")}
		delta := int32(0)
		for range rapid.IntRange(0, 20).Draw(t, "records") {
			delta += rapid.Int32Range(1, 300).Draw(t, "step")
			spec.records = append(spec.records, newRecord(delta, drawBytes(t, "key"), drawBytes(t, "value")))
		}
		spec.next = spec.base + int64(delta) + 1
		raw := spec.encode()
		var b block
		rest, ok, err := parseBlock(append(slices.Clone(raw), "rest"...), &b)
		if !ok || err != nil || string(rest) != "rest" {
			t.Fatal(ok, err, rest)
		}
		if b.base != spec.base || b.next != spec.next || b.producer != spec.producer || int(b.count) != len(spec.records) || b.epoch != 3 ||
			b.first != 1000 || b.latest != 2000 {
			t.Fatalf("%+v", b)
		}
		data := b.records
		for i, want := range spec.records {
			var r record
			if data, ok = parseRecord(data, &r); !ok {
				t.Fatal("record", i)
			}
			if r.offsetDelta != int64(want.OffsetDelta) || r.timeDelta != want.TimestampDelta64 || !same(r.key, want.Key) || !same(r.value, want.Value) {
				t.Fatalf("record %d is %+v, want %+v", i, r, want)
			}
		}
		if len(data) != 0 {
			t.Fatal("bytes are left")
		}
		for cut := range raw { // a block that is cut is not there
			if _, ok, err := parseBlock(raw[:cut], &b); ok || err != nil {
				t.Fatal("a part of a block is taken", cut, err)
			}
		}
		flip := rapid.IntRange(17, len(raw)-1).Draw(t, "flip")
		raw[flip] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, ok, err := parseBlock(raw, &b); ok || !errors.Is(err, errChecksum) {
			t.Fatal("a flipped bit goes unnoticed", ok, err)
		}
	})
}

func drawBytes(t *rapid.T, name string) []byte {
	if rapid.IntRange(0, 3).Draw(t, name+" is nil") == 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name)
}

// same tells nil from empty.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestChunkHidesAbortedTransactions(t *testing.T) {
	// Producers 7 and 8, plain records of 9. Visible blocks are named by their base.
	var data []byte
	add := func(s blockSpec) { data = append(data, s.encode()...) }
	one := func(base, producer int64, attributes int16) blockSpec {
		return blockSpec{base: base, producer: producer, attributes: attributes, records: []kmsg.Record{newRecord(0, nil, []byte("v"))}}
	}
	add(one(10, 7, transactional)) // aborted, begins before what was asked for
	add(one(11, 9, 0))
	add(one(12, 8, transactional)) // commits
	add(marker(13, 7, 0))
	add(one(14, 7, transactional)) // commits
	add(marker(15, 8, 1))
	add(one(16, 8, transactional)) // aborted
	add(marker(17, 7, 1))
	add(one(18, 8, transactional)) // aborted
	add(blockSpec{base: 19, producer: 9, next: 25})
	add(marker(25, 8, 0))
	c, err := newChunk(10, append(data, one(26, 9, 0).encode()[:65]...), []kmsg.FetchResponseTopicPartitionAbortedTransaction{
		{ProducerID: 8, FirstOffset: 16}, {ProducerID: 7, FirstOffset: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	var bases []int64
	for _, b := range c.blocks {
		bases = append(bases, b.base)
	}
	if !slices.Equal(bases, []int64{11, 12, 14}) || c.from != 10 || c.next != 26 || c.records != 10 || c.epoch != 3 {
		t.Fatalf("blocks %v of %+v", bases, c)
	}
}

func TestChunkWithoutAWholeBlock(t *testing.T) {
	spec := blockSpec{base: 0, records: []kmsg.Record{newRecord(0, nil, []byte("v"))}}
	for _, data := range [][]byte{nil, spec.encode()[:30]} {
		if c, err := newChunk(0, data, nil); c != nil || err != nil {
			t.Fatal(c, err)
		}
	}
	if c, err := newChunk(1, spec.encode(), nil); c != nil || err != nil { // what was read already
		t.Fatal(c, err)
	}
}

func TestOldFormatIsRefused(t *testing.T) {
	raw := blockSpec{base: 5, records: []kmsg.Record{newRecord(0, nil, nil)}}.encode()
	raw[16] = 1
	if _, err := newChunk(5, raw, nil); !errors.Is(err, errFormat) {
		t.Fatal(err)
	}
}

func TestLZ4AgainstLibrary(t *testing.T) {
	f := newInflater(maxBlockBytes)
	rapid.Check(t, func(t *rapid.T) {
		text := slices.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "text"), rapid.IntRange(0, 800).Draw(t, "times"))
		size := rapid.SampledFrom([]lz4.BlockSize{lz4.Block64Kb, lz4.Block256Kb, lz4.Block1Mb, lz4.Block4Mb}).Draw(t, "block")
		opts := []lz4.Option{
			lz4.BlockSizeOption(size), lz4.ChecksumOption(rapid.Bool().Draw(t, "content checksum")),
			lz4.BlockChecksumOption(rapid.Bool().Draw(t, "block checksums")),
		}
		if rapid.Bool().Draw(t, "sized") {
			opts = append(opts, lz4.SizeOption(uint64(len(text))))
		}
		var packed bytes.Buffer
		w := lz4.NewWriter(&packed)
		if err := errors.Join(w.Apply(opts...), write(w, text), w.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := inflateLZ4(nil, packed.Bytes(), maxBlockBytes)
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%d bytes, want %d: %v", len(got), len(text), err)
		}
		if len(text) > 0 {
			cut := rapid.IntRange(0, packed.Len()-1).Draw(t, "cut")
			if got, err := inflateLZ4(nil, packed.Bytes()[:cut], maxBlockBytes); err == nil && !bytes.Equal(got, text) {
				t.Fatalf("a frame cut at %d of %d gives %d other bytes", cut, packed.Len(), len(got))
			}
		}
		two := slices.Concat(packed.Bytes(), packed.Bytes()) // two frames are left to the library
		out, err := f.inflate(&block{attributes: codecLZ4, records: two})
		if err != nil || !bytes.Equal(out, slices.Concat(text, text)) {
			t.Fatalf("two frames: %d bytes, %v", len(out), err)
		}
		f.release(out)
	})
}

func write(w *lz4.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

func TestInflaterKeepsToItsLimit(t *testing.T) {
	const limit = 2 << 20
	f := newInflater(limit)
	zeros := make([]byte, 2*limit)
	for _, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		c, err := kgo.DefaultCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		packed, kind := c.Compress(bytes.NewBuffer(nil), zeros)
		if out, err := f.inflate(&block{attributes: uint16(kind), records: packed}); err == nil {
			t.Fatalf("codec %v gives %d bytes", kind, len(out))
		}
		packed, _ = c.Compress(bytes.NewBuffer(nil), zeros[:limit/2])
		if out, err := f.inflate(&block{attributes: uint16(kind), records: packed}); err != nil || len(out) != limit/2 {
			t.Fatalf("codec %v: %d bytes, %v", kind, len(out), err)
		}
	}
}

func FuzzChunk(f *testing.F) {
	f.Add(blockSpec{base: 3, records: []kmsg.Record{newRecord(0, nil, []byte("v")), newRecord(5, []byte("k"), nil)}}.encode(), int64(3))
	f.Add(marker(9, 1, 0).encode(), int64(0))
	inflater := newInflater(maxBlockBytes)
	f.Fuzz(func(t *testing.T, data []byte, from int64) {
		if from < 0 {
			return
		}
		repair(data) // otherwise hardly anything passes the checksum
		c, err := newChunk(from, data, []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 1, FirstOffset: 2}})
		if err != nil || c == nil {
			return
		}
		if c.next <= c.from || c.from != from {
			t.Fatalf("chunk of %d to %d", c.from, c.next)
		}
		r := &Reader{p: &partition{}, decoder: values{}, pos: from, chunk: c}
		r.p.hot.inflater = inflater
		r.in.Batch = stream.NewBatch(valueSchema)
		for r.chunk != nil {
			r.begin()
			before := r.pos
			if err := r.step(); err != nil {
				return
			}
			if r.pos < before || r.pos > c.next {
				t.Fatalf("position %d after %d, the chunk ends at %d", r.pos, before, c.next)
			}
			if int64(r.rows()) > r.pos-before {
				t.Fatalf("%d rows of %d offsets", r.rows(), r.pos-before)
			}
		}
	})
}

// repair sets the checksums of what looks like blocks.
func repair(data []byte) {
	for len(data) >= headerBytes {
		size := 12 + int(binary.BigEndian.Uint32(data[8:]))
		if size < headerBytes || size > len(data) {
			return
		}
		binary.BigEndian.PutUint32(data[17:], crc32.Checksum(data[21:size], castagnoli))
		data = data[size:]
	}
}

func FuzzLZ4(f *testing.F) {
	var packed bytes.Buffer
	w := lz4.NewWriter(&packed)
	_, _ = w.Write(bytes.Repeat([]byte("abcdefg "), 100))
	_ = w.Close()
	f.Add(packed.Bytes())
	inflater := newInflater(maxBlockBytes)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := inflateLZ4(nil, data, maxBlockBytes)
		if err != nil {
			return
		}
		want, err := inflater.slow.Decompress(data, kgo.CodecLz4)
		if err == nil && !bytes.Equal(got, want) { // the library also checks sums that the block's checksum covers
			t.Fatalf("%d bytes, the library gives %d", len(got), len(want))
		}
	})
}
