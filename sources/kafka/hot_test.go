package kafka

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// packedBlocks are lz4 blocks with records that tell them apart.
func packedBlocks(t testing.TB, n, size int) (blocks []block, texts [][]byte) {
	t.Helper()
	c, err := kgo.DefaultCompressor(kgo.Lz4Compression())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		text := bytes.Repeat(fmt.Appendf(nil, "block %d ", i), size/8)
		packed, kind := c.Compress(bytes.NewBuffer(nil), text)
		blocks = append(blocks, block{base: int64(i), next: int64(i + 1), attributes: uint16(kind), records: bytes.Clone(packed)})
		texts = append(texts, text)
	}
	return blocks, texts
}

// TestWarmBlocksAgainstModel: what is in use stays as it is, each block is decompressed once while it is in use, and
// what nobody uses is bounded.
func TestWarmBlocksAgainstModel(t *testing.T) {
	const keep, readers = 100_000, 3 // a buffer takes 32 KiB at least, however little is in it
	blocks, texts := packedBlocks(t, 12, 1000)
	inflater := newInflater(maxBlockBytes)
	rapid.Check(t, func(t *rapid.T) {
		h := &hot{inflater: inflater, keep: keep}
		type use struct {
			w *warm
			i int
		}
		var used []use
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				distinct, bytesUsed := map[*warm]bool{}, 0
				for _, u := range used {
					if !bytes.Equal(u.w.data, texts[u.i]) {
						t.Fatalf("block %d has changed while it is in use", u.i)
					}
					if !distinct[u.w] {
						distinct[u.w], bytesUsed = true, bytesUsed+cap(u.w.data)
					}
				}
				if most := keep + bytesUsed; h.mu.bytes > most {
					t.Fatalf("%d bytes are held, %d are in use", h.mu.bytes, bytesUsed)
				}
				for _, w := range h.mu.held {
					if w.users == 0 && w.uses >= readers {
						t.Fatalf("a block is held that all %d readers have had", readers)
					}
				}
			},
			"acquire": func(t *rapid.T) {
				i := rapid.IntRange(0, len(blocks)-1).Draw(t, "block")
				w, err := h.acquire(&blocks[i], readers)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range used {
					if (u.w == w) != (u.i == i) {
						t.Fatalf("blocks %d and %d share, or one is held twice", u.i, i)
					}
				}
				used = append(used, use{w, i})
			},
			"release": func(t *rapid.T) {
				if len(used) == 0 {
					return
				}
				k := rapid.IntRange(0, len(used)-1).Draw(t, "use")
				h.release(used[k].w)
				used[k] = used[len(used)-1]
				used = used[:len(used)-1]
			},
		})
		for _, u := range used {
			h.release(u.w)
		}
		h.clear()
		if h.mu.bytes != 0 || len(h.mu.held) != 0 {
			t.Fatalf("%d bytes in %d blocks are held by nobody", h.mu.bytes, len(h.mu.held))
		}
	})
}

func TestWarmBlocksFromSeveralReaders(t *testing.T) {
	blocks, texts := packedBlocks(t, 40, 100_000)
	h := &hot{inflater: newInflater(maxBlockBytes), keep: 300_000}
	broken := block{attributes: codecLZ4, records: []byte("no frame at all")}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range blocks {
				w, err := h.acquire(&blocks[i], 4)
				if err != nil {
					t.Error(err)
					return
				}
				if !bytes.Equal(w.data, texts[i]) {
					t.Errorf("block %d is another", i)
				}
				h.release(w)
				if _, err := h.acquire(&broken, 4); err == nil {
					t.Error("a broken block decompresses")
				}
			}
		})
	}
	wg.Wait()
}
