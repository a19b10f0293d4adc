package engine

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/golden"
	"github.com/tidewatch/tidewatch/stream"
)

// layered writes snapshots of a state that changes a little each time.
type layered struct {
	layers  *layers
	objects map[string][]byte
	state   *state
}

func newLayered(bytes, block int) *layered {
	rng := rand.New(rand.NewPCG(7, 7))
	s := &state{data: make([]byte, bytes)}
	for i := range s.data {
		s.data[i] = byte(rng.Uint32())
	}
	for at := block; at < bytes; at += block {
		s.ends = append(s.ends, at)
	}
	s.ends = append(s.ends, bytes)
	return &layered{layers: &layers{}, objects: map[string][]byte{}, state: s}
}

// put takes a snapshot.
func (l *layered) put() {
	key := fmt.Sprintf("state/%d/snapshot", len(l.objects))
	l.objects[key], l.layers = l.layers.add(l.state, key)
}

// named is the objects of the newest snapshot, as copies.
func (l *layered) named() (objects [][]byte) {
	for _, s := range l.layers.slices {
		objects = append(objects, bytes.Clone(l.objects[s.Object]))
	}
	return objects
}

// TestDeltas: after each of many snapshots the state comes back, the chain is bounded, and little is uploaded for little change.
func TestDeltas(t *testing.T) {
	l := newLayered(2*smallState, 8<<10)
	rng := rand.New(rand.NewPCG(1, 2))
	longest, uploaded := 0, 0
	const turns = 60
	for range turns {
		for range rng.IntN(6) {
			l.state.data[rng.IntN(len(l.state.data))]++
		}
		l.put()
		data, loaded, err := compose(l.layers.slices, l.named())
		if err != nil || !bytes.Equal(data, l.state.data) {
			t.Fatalf("a snapshot of %d slices comes back with error %v, equal: %v", len(l.layers.slices), err, bytes.Equal(data, l.state.data))
		}
		if !slices.Equal(loaded.blocks, l.layers.blocks) {
			t.Fatal("the next delta would not know what the object store holds")
		}
		l.layers = loaded
		longest = max(longest, len(l.layers.slices))
		uploaded += int(l.layers.slices[len(l.layers.slices)-1].Size)
	}
	if longest != maxSlices || uploaded > turns*len(l.state.data)/4 {
		t.Errorf("%d slices at most, want %d; %d bytes were uploaded for %d states of %d bytes", longest, maxSlices, uploaded, turns, len(l.state.data))
	}
	small := newLayered(smallState/2, 8<<10)
	small.put()
	small.put()
	if n := len(small.layers.slices); n != 1 {
		t.Errorf("a small state has %d slices", n)
	}
}

// TestEveryFlippedBitIsFound: of a base and of deltas, with the name of the object.
func TestEveryFlippedBitIsFound(t *testing.T) {
	l := newLayered(smallState, 32<<10)
	l.put()
	for _, at := range []int{0, 70 << 10} {
		l.state.data[at]++
		l.put()
	}
	l.shorten(t)
	good := l.named()
	if data, _, err := compose(l.layers.slices, good); len(good) != 3 || err != nil || !bytes.Equal(data, l.state.data) {
		t.Fatal("the sample is not good", err)
	}
	for i, s := range l.layers.slices {
		for bit := range 8 * len(good[i]) {
			good[i][bit/8] ^= 1 << (bit % 8)
			_, _, err := compose(l.layers.slices, good)
			if !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), s.Object) {
				t.Fatalf("slice %d, bit %d of byte %d: %v", i, bit%8, bit/8, err)
			}
			good[i][bit/8] ^= 1 << (bit % 8)
		}
		for _, size := range []int{0, 3, 4, len(good[i]) / 2, len(good[i]) - 1} {
			cut := slices.Clone(good)
			cut[i] = good[i][:size]
			if _, _, err := compose(l.layers.slices, cut); !errors.Is(err, errDamaged) {
				t.Fatalf("slice %d, cut to %d bytes: %v", i, size, err)
			}
		}
	}
}

// shorten makes the blocks of the sample short, so that each bit can be flipped, in the form that longer ones have.
func (l *layered) shorten(t *testing.T) {
	t.Helper()
	const short = 40
	from, s := 0, &state{}
	for _, to := range l.state.ends {
		s.data = append(s.data, l.state.data[from:][:short]...)
		s.ends = append(s.ends, len(s.data))
		from = to
	}
	l.state = s
	blocks := l.layers.blocks
	l.objects = map[string][]byte{}
	var names []stream.Slice
	for place := range l.layers.slices {
		key := fmt.Sprintf("state/%d/snapshot", place)
		object := []byte(sliceMagic)
		var index []block
		for i := range blocks {
			b := block{slice: blocks[i].slice, length: short, hash: sha256.Sum256(s.data[i*short:][:short])}
			if b.slice > place { // a delta above did not exist yet
				continue
			}
			if b.slice == place {
				b.offset = len(object)
				object = append(object, s.data[i*short:][:short]...)
				blocks[i] = b
			} else {
				b.offset = blocks[i].offset
			}
			index = append(index, b)
		}
		tail := indexOf(index)
		object = append(object, tail...)
		l.objects[key] = object
		names = append(names, stream.Slice{Object: key, Size: int64(len(object)), Hash: indexHash(tail)})
	}
	l.layers = &layers{slices: names, blocks: blocks}
}

// FuzzIndex: any bytes are an index or an error, and what is an index is written as it was, or shorter.
func FuzzIndex(f *testing.F) {
	index := indexOf([]block{{length: 5}, {slice: 1, offset: 300, length: 70000}})
	f.Add(index[:len(index)-4])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, index []byte) {
		blocks, err := readIndex(index)
		if err != nil {
			return
		}
		again := indexOf(blocks)
		if read, err := readIndex(again[:len(again)-4]); err != nil || !slices.Equal(read, blocks) {
			t.Errorf("%v is read as %v, %v", blocks, read, err)
		}
	})
}

// TestEveryFormatIsRead: rows and snapshots that versions of the program have written. Those of format 1 are of a real run.
func TestEveryFormatIsRead(t *testing.T) {
	l := newLayered(600, 200)
	l.put()
	at := stream.Version{Offset: 1832}
	made := stream.Record{
		At: at, Snapshot: stream.Snapshot{At: at, Slices: l.layers.slices, Size: 600}, Previous: &stream.Snapshot{At: stream.Version{Offset: 1700}},
		Mark: 1796046024369000000, RecordMark: 1796046024369000000, Ledger: stream.Ledger{6: 1832},
		Controls: []stream.Control{{Kind: controlTick, At: stream.Version{Offset: 1750, Step: 1}, Mark: 1796046024000000000}},
	}
	body, err := encodeRecord(goldenRow.Task, goldenRow.Epoch, &made)
	if err != nil {
		t.Fatal(err)
	}
	golden.File(t, "testdata/record-2.json", string(body))
	golden.File(t, "testdata/snapshot-2.slice", string(l.named()[0]))
	for format := 1; format <= recordFormat; format++ {
		row := goldenRow
		row.Record = read(t, fmt.Sprintf("record-%d.json", format))
		rec, err := decodeRecord(&row)
		if err != nil {
			t.Fatalf("format %d: %v", format, err)
		}
		object := read(t, map[int]string{1: "snapshot-1.state", 2: "snapshot-2.slice"}[format])
		data, _, err := compose(rec.Snapshot.Slices, [][]byte{object})
		if err != nil {
			t.Fatalf("format %d: %v", format, err)
		}
		if rec.At != at || rec.Ledger[6] != 1832 || rec.Mark != 1796046024369000000 || rec.Snapshot.Size != int64(len(data)) {
			t.Errorf("format %d is read as %+v", format, rec)
		}
		if format == 1 {
			r, err := stream.NewStateReader(data)
			if err != nil {
				t.Fatal(err)
			}
			if version, ok := r.Section("engine/position"); version != 1 || !ok || r.Int() != 0 || r.Int() != 1832 {
				t.Error("the position of the snapshot of format 1 is not read")
			}
			object[700] ^= 4
			if _, _, err := compose(rec.Snapshot.Slices, [][]byte{object}); !errors.Is(err, errDamaged) {
				t.Errorf("a damaged snapshot of format 1: %v", err)
			}
		} else if !bytes.Equal(data, l.state.data) {
			t.Error("the snapshot of format 2 is not what was written")
		}
	}
	row := goldenRow
	row.Record = []byte(`{"format":3}`)
	if _, err := decodeRecord(&row); err == nil {
		t.Error("a record of a format that nobody knows is read")
	}
}

var goldenRow = stream.Checkpoint{Epoch: 41, Task: stream.TaskID{Instance: "silent-services@1", Stage: "merge", Partition: stream.Partition{Topic: "t"}}}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestEveryFlippedBitOfARowIsFound: and a row of another task or epoch is none of this one.
func TestEveryFlippedBitOfARowIsFound(t *testing.T) {
	row := goldenRow
	row.Record = read(t, "record-2.json")
	for bit := range 8 * len(row.Record) {
		row.Record[bit/8] ^= 1 << (bit % 8)
		if rec, err := decodeRecord(&row); err == nil {
			t.Fatalf("bit %d of byte %d: the row is read as %+v", bit%8, bit/8, rec)
		}
		row.Record[bit/8] ^= 1 << (bit % 8)
	}
	row.Epoch++
	if _, err := decodeRecord(&row); err == nil || !strings.Contains(err.Error(), "checksum differs") {
		t.Errorf("the record of another epoch: %v", err)
	}
}
