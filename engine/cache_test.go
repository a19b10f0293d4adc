package engine

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"testing"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/stream"
)

// someObjects counts what is fetched.
type someObjects struct {
	stream.Objects
	held    map[string][]byte
	fetched int
}

func (o *someObjects) Get(_ context.Context, key string) ([]byte, error) {
	o.fetched++
	if data, ok := o.held[key]; ok {
		return data, nil
	}
	return nil, fmt.Errorf("get %s: %w", key, fs.ErrNotExist)
}

// TestCopiesOfSlices: a snapshot is fetched once, and again where a copy is damaged or gone; the cache never makes it fail.
func TestCopiesOfSlices(t *testing.T) {
	w := stream.NewStateWriter()
	w.Section("numbers", 1)
	w.Ints(make([]int64, smallState/8))
	l := &layered{layers: &layers{}, objects: map[string][]byte{}, state: &state{data: w.Finish(), ends: w.Blocks()}}
	l.put()
	w = stream.NewStateWriter()
	w.Section("numbers", 1)
	w.Ints(append(make([]int64, smallState/8), 1))
	l.state = &state{data: w.Finish(), ends: w.Blocks()}
	l.put()
	if len(l.layers.slices) != 2 {
		t.Fatalf("the sample has %d slices", len(l.layers.slices))
	}
	cache, err := objects.OpenCache(t.TempDir(), 10<<20)
	if err != nil {
		t.Fatal(err)
	}
	store := &someObjects{held: maps.Clone(l.objects)}
	tk := &task{log: slog.New(slog.DiscardHandler), deps: &deps{Config: Config{Objects: store, Clock: clock.System{}, Cache: cache}}}
	load := func(what string, want int) {
		t.Helper()
		store.fetched = 0
		r, _, err := tk.load(t.Context(), l.layers.slices)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if r.Section("numbers"); len(r.Ints()) != smallState/8+1 {
			t.Errorf("%s: the state is another", what)
		}
		if store.fetched != want {
			t.Errorf("%s: %d objects were fetched, want %d", what, store.fetched, want)
		}
	}
	load("an empty cache", 2)
	load("a warm cache", 0)
	hash := l.layers.slices[1].Hash
	bad := bytes.Clone(cache.Get(hash))
	bad[len(bad)/2] ^= 1
	cache.Drop(hash)
	cache.Put(hash, bad)
	load("a damaged copy", 2)
	load("the copy that replaced it", 0)
	cache.Drop(hash)
	load("a copy that is gone", 1)
	tk.deps.Cache = nil
	load("no cache", 2)
}
