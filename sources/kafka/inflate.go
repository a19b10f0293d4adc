package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// inflater decompresses blocks into buffers that come back. It is safe for concurrent use.
type inflater struct {
	slow  kgo.Decompressor // snappy, and LZ4 frames of an unusual make
	zstd  *zstd.Decoder
	gzips sync.Pool // of *gzip.Reader
	limit int       // bytes of a block, decompressed
	mu    struct {
		sync.Mutex
		free  [][]byte // newest last: its memory is warmest
		bytes int      // of free
	}
}

const (
	keptBytes     = 8 << 20   // of free buffers; what is more is left to the garbage collector
	firstBuffer   = 32 << 10  // grows as blocks need; a worker has a reader for each task, most of which read little
	maxBlockBytes = 256 << 20 // decompressed; a producer that sends more wants the worker's memory, not its attention
)

// The codecs of a block's attributes.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
)

var errTooLarge = errors.New("it decompresses to too many bytes")

// newInflater refuses blocks that have more than limit bytes when decompressed.
func newInflater(limit int) *inflater {
	f := &inflater{limit: limit}
	f.slow = kgo.DefaultDecompressor((*inflaterPool)(f))
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(limit)),
		zstd.IgnoreChecksum(true))
	if err != nil {
		panic("zstd refuses constant options: " + err.Error())
	}
	f.zstd = d
	return f
}

// inflaterPool is how the library's decompressor gets a buffer. It implements kgo.PoolDecompressBytes.
type inflaterPool inflater

// GetDecompressBytes implements kgo.PoolDecompressBytes.
func (p *inflaterPool) GetDecompressBytes([]byte, kgo.CompressionCodecType) []byte {
	return (*inflater)(p).get()
}

// PutDecompressBytes implements kgo.PoolDecompressBytes.
func (p *inflaterPool) PutDecompressBytes(b []byte) { (*inflater)(p).release(b) }

func (f *inflater) get() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.mu.free); n > 0 {
		b := f.mu.free[n-1]
		f.mu.free = f.mu.free[:n-1]
		f.mu.bytes -= cap(b)
		return b[:0]
	}
	return make([]byte, 0, firstBuffer)
}

// release gives a buffer back that inflate has returned.
func (f *inflater) release(b []byte) {
	if cap(b) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.bytes+cap(b) <= keptBytes {
		f.mu.free = append(f.mu.free, b[:0])
		f.mu.bytes += cap(b)
	}
}

// inflate returns the records of a compressed block in a buffer that belongs to the caller until release.
func (f *inflater) inflate(b *block) ([]byte, error) {
	out, err := f.decode(b.codec(), b.records)
	if err == nil && len(out) > f.limit {
		err = errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("decompress block at offset %d: %w", b.base, err)
	}
	return out, nil
}

func (f *inflater) decode(codec uint16, src []byte) ([]byte, error) {
	switch codec {
	case codecGzip:
		return f.gunzip(src)
	case codecZstd:
		return f.zstd.DecodeAll(src, f.get())
	case codecLZ4:
		out, err := inflateLZ4(f.get(), src, f.limit)
		if !errors.Is(err, errUnusualFrame) {
			return out, err
		}
	}
	return f.slow.Decompress(src, kgo.CompressionCodecType(codec))
}

func (f *inflater) gunzip(src []byte) ([]byte, error) {
	z, ok := f.gzips.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	defer f.gzips.Put(z)
	if err := z.Reset(bytes.NewReader(src)); err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(f.get())
	_, err := out.ReadFrom(io.LimitReader(z, int64(f.limit)+1))
	return out.Bytes(), err
}
