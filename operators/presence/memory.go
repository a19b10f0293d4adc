package presence

import (
	"errors"
	"fmt"

	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// memory is the groups that are remembered, each with some words. The first word is the end of its last window.
type memory struct {
	groups *table.Groups
	by     []int // columns of the rows
	size   int   // words of a group
	held   []bool
	words  []uint64

	rows    []int32 // scratch: 0, 1, 2, …
	ids     []uint32
	dropped []uint32
}

func newMemory(by []string, in *stream.Schema, size int) (*memory, error) {
	m := &memory{size: size}
	var keys []stream.Field
	for _, name := range by {
		at := in.Index(name)
		if at < 0 {
			return nil, fmt.Errorf("the group column %q is not in the rows of the window", name)
		}
		m.by, keys = append(m.by, at), append(keys, in.Fields[at])
	}
	var err error
	m.groups, err = table.NewGroups(keys)
	return m, err
}

// resolve gives the rows of b their groups. New ones are remembered from now on, as never seen.
func (m *memory) resolve(b *stream.Batch) []uint32 {
	n := b.Len()
	for len(m.rows) < n {
		m.rows = append(m.rows, int32(len(m.rows)))
	}
	if len(m.ids) < n {
		m.ids = make([]uint32, n)
	}
	ids := m.ids[:n]
	m.groups.Resolve(b, m.by, m.rows[:n], ids)
	for i, id := range ids {
		for len(m.held) <= int(id) {
			m.extend()
		}
		if m.held[id] {
			continue
		}
		m.held[id] = true
		m.groups.Retain(ids[i : i+1])
		for k := range m.of(id) {
			m.of(id)[k] = noTime
		}
	}
	return ids
}

// noTime is the word of a time that has not been.
const noTime = uint64(1) << 63 // stream.NoTime

func (m *memory) extend() {
	m.held = append(m.held, false)
	for range m.size {
		m.words = append(m.words, 0)
	}
}

// of is the words of a group.
func (m *memory) of(id uint32) []uint64 { return m.words[int(id)*m.size:][:m.size] }

// last is the end of the last window in which the group had a row.
func (m *memory) last(id uint32) stream.Time { return stream.Time(m.of(id)[0]) }

// note remembers a row of the group; later reports whether no window after it had one.
func (m *memory) note(id uint32, end stream.Time) (later bool) {
	w := m.of(id)
	if later = end >= stream.Time(w[0]); later {
		w[0] = uint64(end)
	}
	return later
}

// forget drops the groups whose last window ended at or before the instant.
func (m *memory) forget(until stream.Time) {
	m.dropped = m.dropped[:0]
	for id, held := range m.held {
		if held && m.last(uint32(id)) <= until {
			m.held[id] = false
			m.dropped = append(m.dropped, uint32(id))
		}
	}
	if len(m.dropped) > 0 {
		m.groups.Release(m.dropped)
		m.groups.Tidy()
	}
}

func (m *memory) bytes() int64 {
	return m.groups.Size() + int64(cap(m.held)+8*cap(m.words)+4*(cap(m.rows)+cap(m.ids)+cap(m.dropped)))
}

// memoryVersion is that of the section that follows the groups. Its body: the words of a group; the numbers of the groups; then each
// word of all of them.
const memoryVersion = 1

func (m *memory) snapshot(w *stream.StateWriter, name string) {
	m.groups.SnapshotTo(w, name)
	w.Section("presence of "+name, memoryVersion)
	w.Uint(uint64(m.size))
	column := []int64{}
	for id, held := range m.held {
		if held {
			column = append(column, int64(id))
		}
	}
	ids := column
	w.Ints(ids)
	for k := range m.size {
		column = make([]int64, 0, len(ids))
		for _, id := range ids {
			column = append(column, int64(m.of(uint32(id))[k]))
		}
		w.Ints(column)
	}
}

// restore reads what snapshot wrote into an empty memory.
func (m *memory) restore(r *stream.StateReader, name string) error {
	if err := m.groups.RestoreFrom(r, name); err != nil {
		return err
	}
	if version, _ := r.Section("presence of " + name); version != memoryVersion {
		return fmt.Errorf("restore presence: section version %d, want %d", version, memoryVersion)
	}
	if size := r.Uint(); r.Err() == nil && size != uint64(m.size) {
		return fmt.Errorf("restore presence: %d words a group, want %d: the snapshot belongs to another pipeline version", size, m.size)
	}
	ids := r.Ints()
	last := int64(-1)
	for _, id := range ids {
		if id <= last || !m.groups.Has(uint64(id)) {
			return errors.Join(r.Err(), fmt.Errorf("restore presence: %d is no group", id))
		}
		last = id
		for len(m.held) <= int(id) {
			m.extend()
		}
		m.held[id] = true
		m.groups.Retain([]uint32{uint32(id)})
	}
	for k := range m.size {
		column := r.Ints()
		if len(column) != len(ids) {
			return errors.Join(r.Err(), fmt.Errorf("restore presence: %d words for %d groups", len(column), len(ids)))
		}
		for i, id := range ids {
			m.of(uint32(id))[k] = uint64(column[i])
		}
	}
	if err := r.Err(); err != nil {
		return err
	}
	return m.groups.Check()
}
