package kafkaclient_test

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
)

// TestLZ4 reads with the client's own decompressor what we have compressed, batch after batch with the same memory.
func TestLZ4(t *testing.T) {
	c, d := kafkaclient.LZ4(), kgo.DefaultDecompressor()
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "piece")
		src := bytes.Repeat(piece, rapid.IntRange(0, 3000).Draw(t, "times"))
		packed, codec := c.Compress(new(bytes.Buffer), src)
		got, err := d.Decompress(packed, codec)
		if err != nil || codec != kgo.CodecLz4 || !bytes.Equal(got, src) {
			t.Fatalf("%d bytes became %d with codec %d, and %d again: %v", len(src), len(packed), codec, len(got), err)
		}
	})
}
