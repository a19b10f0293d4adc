package dedupe_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/operators/dedupe"
	"github.com/tidewatch/tidewatch/stream"
)

// FuzzRestore: any body is refused, or is a state that can be used and written again.
func FuzzRestore(f *testing.F) {
	cfg := &dedupe.Config{By: []string{"id"}, Span: 10 * time.Second}
	d := newDedupe(f, cfg)
	b := stream.NewBatch(schema)
	for i, e := range []event{{at: 1001 * second, id: 1}, {at: 1012 * second, id: 1}, {at: 1013 * second, id: 2}} {
		appendEvent(b, &e, i)
	}
	if err := d.Process(b, &output{t: f}); err != nil {
		f.Fatal(err)
	}
	body := snapshot(f, d)[len("TWS1\x06sights\x01"):]
	n, size := binary.Uvarint(body)
	f.Add(body[size : size+int(n)])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		s := append([]byte("TWS1\x06sights\x01"), binary.AppendUvarint(nil, uint64(len(body)))...)
		s = append(s, body...)
		s = binary.LittleEndian.AppendUint32(s, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		r, err := stream.NewStateReader(s)
		if err != nil {
			t.Fatal(err)
		}
		d := newDedupe(t, cfg)
		if d.Restore(r) != nil {
			return
		}
		moved(t, d, newDedupe(t, cfg))
		if err := d.Process(b, &output{t: t}); err != nil {
			t.Fatal(err)
		}
		out := &output{t: t}
		if err := d.Process(b, out); err != nil || len(out.offsets) > 0 {
			t.Errorf("events pass twice: %v, %v", out.offsets, err)
		}
	})
}
