package window_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// sectionsOf is a well-formed snapshot with the given bodies.
func sectionsOf(groups, windows []byte) []byte {
	s := []byte("TWS1")
	for _, x := range []struct {
		name string
		body []byte
	}{{"test/groups", groups}, {"test/windows", windows}} {
		s = append(append(s, byte(len(x.name))), x.name...)
		s = binary.AppendUvarint(append(s, 1), uint64(len(x.body)))
		s = append(s, x.body...)
		s = binary.LittleEndian.AppendUint32(s, crc32.Checksum(x.body, crc32.MakeTable(crc32.Castagnoli)))
	}
	return s
}

// bodies takes a snapshot apart again.
func bodies(f *testing.F, state []byte) (groups, windows []byte) {
	f.Helper()
	rest := state[len("TWS1"):]
	next := func() []byte {
		rest = rest[1+int(rest[0])+1:] // name, version
		n, size := binary.Uvarint(rest)
		body := rest[size : size+int(n)]
		rest = rest[size+int(n)+4:]
		return body
	}
	groups, windows = next(), next()
	if len(rest) != 0 {
		f.Fatal("the snapshot has another layout")
	}
	return groups, windows
}

func fuzzRestore(f *testing.F, seed operator, fresh func() operator, after *stream.Batch) {
	f.Helper()
	f.Add(bodies(f, snapshot(f, seed)))
	f.Add(bodies(f, snapshot(f, fresh())))
	f.Fuzz(func(t *testing.T, groups, windows []byte) {
		r, err := stream.NewStateReader(sectionsOf(groups, windows))
		if err != nil {
			t.Fatal(err)
		}
		r.Scope("test/")
		op := fresh()
		if op.Restore(r) != nil {
			return
		}
		out := &transcript{t: t} // what was accepted can be used
		for _, err := range []error{op.Publish(stream.Version{}, out), op.Process(after, out), op.Advance(advance(9, 1e6, 1e6), out)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, live := op.Size(); live < 0 {
			t.Fatalf("%d groups live", live)
		}
	})
}

func fuzzConfig() *window.Config {
	cfg := countByHost(25 * time.Second)
	cfg.Evidence = true
	return cfg
}

func FuzzRestoreTumbling(f *testing.F) {
	fresh := func() operator { return newTumbling(f, fuzzConfig()) }
	op := fresh()
	if err := op.Process(eventsAt(stream.NoTime, 1001, 1002, 1012), &transcript{t: f}); err != nil {
		f.Fatal(err)
	}
	fuzzRestore(f, op, fresh, eventsAt(stream.NoTime, 1001, 1030))
}

func FuzzRestoreFold(f *testing.F) {
	fresh := func() operator { return newFold(f, fuzzConfig()) }
	op := fresh()
	if err := op.Process(eventsAt(stream.NoTime, 1001, 1002, 1012), &transcript{t: f}); err != nil {
		f.Fatal(err)
	}
	fuzzRestore(f, op, fresh, eventsAt(stream.NoTime, 1001, 1030))
}

func FuzzRestoreMerge(f *testing.F) {
	cfg := fuzzConfig()
	fresh := func() operator { return newMerge(f, cfg) }
	var log []entry
	out := &transcript{t: f, onEmit: func(b *stream.Batch) { log = append(log, entry{partials: b}) }}
	fold := newFold(f, cfg)
	if err := fold.Process(eventsAt(stream.NoTime, 1001, 1002, 1012), out); err != nil {
		f.Fatal(err)
	}
	if err := fold.Publish(stream.Version{Offset: 3}, out); err != nil {
		f.Fatal(err)
	}
	schema, err := window.PartialSchema(cfg, eventSchema)
	if err != nil {
		f.Fatal(err)
	}
	b := stream.NewBatch(stream.EntrySchema(schema))
	for i := range log {
		log[i].source = i
		appendEntry(b, &log[i], int64(i))
	}
	op := fresh()
	if err := op.Process(b, out); err != nil {
		f.Fatal(err)
	}
	fuzzRestore(f, op, fresh, b)
}
