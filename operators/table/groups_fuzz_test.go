package table_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// snapshotOf is a well-formed snapshot with one section of the given body.
func snapshotOf(section string, body []byte) []byte {
	s := append([]byte("TWS1"), byte(len(section)))
	s = append(s, section...)
	s = append(s, 1)
	s = binary.AppendUvarint(s, uint64(len(body)))
	s = append(s, body...)
	return binary.LittleEndian.AppendUint32(s, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// FuzzRestoreGroups: any body is either refused or a table that can be used.
func FuzzRestoreGroups(f *testing.F) {
	fields := shapes["mixed"]
	g := newGroups(f, fields)
	b := stream.NewBatch(&stream.Schema{Fields: fields})
	for range 2 {
		for c := range b.Cols {
			b.Cols[c].AppendNull()
		}
	}
	b.Cols[0].Reset()
	b.Cols[0].AppendString("acme")
	b.Cols[0].AppendString("umbrella")
	b.SetLen(2)
	ids := make([]uint32, 2)
	g.Resolve(b, []int{0, 1, 2, 3, 4}, []int32{0, 1}, ids)
	g.Retain(ids)
	g.Release(ids[:1])
	w := stream.NewStateWriter()
	g.Snapshot(w)
	body := w.Finish()[len("TWS1\x06groups\x01"):]
	n, size := binary.Uvarint(body)
	f.Add(body[size : size+int(n)])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		g := newGroups(t, fields)
		r, err := stream.NewStateReader(snapshotOf("groups", body))
		if err != nil {
			t.Fatal(err)
		}
		if g.Restore(r) != nil {
			return
		}
		ids := make([]uint32, 2)
		g.Resolve(b, []int{0, 1, 2, 3, 4}, []int32{0, 1}, ids)
		g.Retain(ids)
		out := stream.NewBatch(&stream.Schema{Fields: fields})
		g.Bind(out)
		g.AppendColumns(ids, out.Cols)
		if out.Cols[0].Text(0) != "acme" || out.Cols[0].Text(1) != "umbrella" {
			t.Errorf("groups %v are %q and %q", ids, out.Cols[0].Text(0), out.Cols[0].Text(1))
		}
	})
}
