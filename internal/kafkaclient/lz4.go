package kafkaclient

import (
	"bytes"
	"sync"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// LZ4 compresses what a producer sends, with blocks of 256 KiB: the client's own compressor takes 4 MiB for each batch that
// is on its way, and most batches are a few hundred bytes. Pass it to kgo.WithCompressor. It is safe for concurrent use.
func LZ4() kgo.Compressor {
	return &lz4Compressor{writers: sync.Pool{New: func() any {
		w := lz4.NewWriter(nil)
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block256Kb)); err != nil {
			panic("lz4 refuses a constant option: " + err.Error())
		}
		return w
	}}}
}

type lz4Compressor struct{ writers sync.Pool } // of *lz4.Writer

// Compress implements kgo.Compressor.
func (c *lz4Compressor) Compress(dst *bytes.Buffer, src []byte, _ ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	w := c.writers.Get().(*lz4.Writer)
	defer c.writers.Put(w)
	w.Reset(dst)
	if _, err := w.Write(src); err != nil {
		return nil, kgo.CodecError
	}
	if err := w.Close(); err != nil {
		return nil, kgo.CodecError
	}
	return dst.Bytes(), kgo.CodecLz4
}
