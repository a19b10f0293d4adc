package streamtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
)

// stateSection is a section of a snapshot; see stream.StateWriter for the layout.
type stateSection struct {
	name    string
	version uint64
	body    []byte
}

const stateMagic = "TWS1"

func splitState(t testing.TB, state []byte) (sections []stateSection) {
	t.Helper()
	rest, ok := bytes.CutPrefix(state, []byte(stateMagic))
	blob := func() []byte {
		n, k := binary.Uvarint(rest)
		if ok = ok && k > 0 && n <= uint64(len(rest)-k); !ok {
			return nil
		}
		b := rest[k : k+int(n)]
		rest = rest[k+int(n):]
		return b
	}
	for ok && len(rest) > 0 {
		s := stateSection{name: string(blob())}
		version, k := binary.Uvarint(rest)
		if ok = ok && k > 0; !ok {
			break
		}
		s.version, rest = version, rest[k:]
		s.body = blob()
		if ok = ok && len(rest) >= crc32.Size; !ok {
			break
		}
		rest = rest[crc32.Size:]
		sections = append(sections, s)
	}
	if !ok {
		t.Fatal("the snapshot has not the layout of stream.StateWriter")
	}
	return sections
}

// joinState is the opposite of splitState, with checksums that are right.
func joinState(sections []stateSection) []byte {
	state := []byte(stateMagic)
	for _, s := range sections {
		state = append(binary.AppendUvarint(state, uint64(len(s.name))), s.name...)
		state = binary.AppendUvarint(state, s.version)
		state = append(binary.AppendUvarint(state, uint64(len(s.body))), s.body...)
		state = binary.LittleEndian.AppendUint32(state, crc32.Checksum(s.body, crc32.MakeTable(crc32.Castagnoli)))
	}
	return state
}

// diffStates tells in which section two snapshots differ.
func diffStates(t testing.TB, got, want []byte) string {
	t.Helper()
	a, b := splitState(t, got), splitState(t, want)
	if len(a) != len(b) {
		return fmt.Sprintf("%d sections, want %d", len(a), len(b))
	}
	for i := range a {
		if a[i].name != b[i].name || a[i].version != b[i].version || !bytes.Equal(a[i].body, b[i].body) {
			return fmt.Sprintf("section %s version %d is %x, want section %s version %d %x", a[i].name, a[i].version, a[i].body, b[i].name, b[i].version, b[i].body)
		}
	}
	return ""
}
