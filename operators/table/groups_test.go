package table_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

var shapes = map[string][]stream.Field{
	"none":   nil,
	"string": {{Name: "host", Kind: stream.String}},
	"int":    {{Name: "port", Kind: stream.Int}},
	"mixed": {
		{Name: "tenant", Kind: stream.String},
		{Name: "load", Kind: stream.Float},
		{Name: "host", Kind: stream.String},
		{Name: "up", Kind: stream.Bool},
		{Name: "at", Kind: stream.Timestamp},
	},
}

func TestGroupsAgainstMap(t *testing.T) {
	for name, fields := range shapes {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { newGroupsModel(t, fields).run(t) })
		})
	}
}

// groupsModel drives two tables with the same rows: one is restored from its snapshot now and then and reads other
// dictionaries. Both must give the same numbers, and those of a plain map.
type groupsModel struct {
	fields []stream.Field
	a, b   *table.Groups
	in     [2]*stream.Batch
	cols   []int
	ids    map[string]uint32 // by canonical key
	refs   map[uint32]int
	free   []uint32
	next   uint32
}

func newGroupsModel(t *rapid.T, fields []stream.Field) *groupsModel {
	m := &groupsModel{fields: fields, ids: map[string]uint32{}, refs: map[uint32]int{}}
	m.a, m.b = newGroups(t, fields), newGroups(t, fields)
	for i := range fields {
		m.cols = append(m.cols, i)
	}
	m.in[0], m.in[1] = stream.NewBatch(&stream.Schema{Fields: fields}), stream.NewBatch(&stream.Schema{Fields: fields})
	return m
}

func newGroups(t interface{ Fatal(...any) }, fields []stream.Field) *table.Groups {
	g, err := table.NewGroups(fields)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (m *groupsModel) run(t *rapid.T) {
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		switch rapid.IntRange(0, 5).Draw(t, "step") {
		case 0:
			m.release(t)
		case 1:
			m.restore(t)
		case 2:
			m.renewDictionaries(t)
		default:
			m.resolve(t)
		}
		m.check(t)
	}
}

func (m *groupsModel) resolve(t *rapid.T) {
	n := rapid.IntRange(1, 30).Draw(t, "rows")
	for _, b := range m.in {
		b.Reset()
	}
	for range n {
		for c, f := range m.fields {
			appendValue(t, f.Kind, &m.in[0].Cols[c], &m.in[1].Cols[c])
		}
	}
	m.in[0].SetLen(n)
	m.in[1].SetLen(n)
	rows := []int32{}
	for i := range n {
		if rapid.IntRange(0, 3).Draw(t, "take") > 0 {
			rows = append(rows, int32(i))
		}
	}
	ids, again := make([]uint32, len(rows)), make([]uint32, len(rows))
	m.a.Resolve(m.in[0], m.cols, rows, ids)
	m.b.Resolve(m.in[1], m.cols, rows, again)
	for i, r := range rows {
		key := string(stream.AppendKey(nil, m.in[0], m.cols, int(r)))
		want := m.idOf(key)
		if ids[i] != want || again[i] != want {
			t.Fatalf("row %d has groups %d and %d, want %d", r, ids[i], again[i], want)
		}
		if m.a.Slot(want) != stream.SlotOf([]byte(key)) {
			t.Fatalf("group %d is in slot %d, want %d", want, m.a.Slot(want), stream.SlotOf([]byte(key)))
		}
		m.refs[want]++
	}
	m.a.Retain(ids)
	m.b.Retain(ids)
}

func (m *groupsModel) idOf(key string) uint32 {
	id, ok := m.ids[key]
	if !ok {
		if n := len(m.free); n > 0 {
			id, m.free = m.free[n-1], m.free[:n-1]
		} else {
			id = m.next
			m.next++
		}
		m.ids[key] = id
	}
	return id
}

// appendValue draws from few values, so that groups repeat.
func appendValue(t *rapid.T, k stream.Kind, cols ...*stream.Column) {
	n := rapid.IntRange(0, 6).Draw(t, "value")
	for _, c := range cols {
		switch {
		case n == 0:
			c.AppendNull()
		case k == stream.String:
			c.AppendString([]string{"", "", "a", "b", "c", "dd", "a\x00"}[n])
		case k == stream.Float:
			c.AppendFloat([]float64{0, 0, 1, -1, 0.5, 1e300, 2}[n])
		case k == stream.Bool:
			c.AppendBool(n%2 == 0)
		default:
			c.AppendInt([]int64{0, 0, 1, -1, 1 << 40, 5, 6}[n])
		}
	}
}

func (m *groupsModel) release(t *rapid.T) {
	var ids []uint32
	for id := range m.next {
		if m.refs[id] > 0 && rapid.Bool().Draw(t, "release") {
			for range rapid.IntRange(1, m.refs[id]).Draw(t, "times") {
				ids = append(ids, id)
			}
		}
	}
	m.a.Release(ids)
	m.b.Release(ids)
	for _, id := range ids {
		if m.refs[id]--; m.refs[id] == 0 {
			m.free = append(m.free, id)
			for k, other := range m.ids {
				if other == id {
					delete(m.ids, k)
				}
			}
		}
	}
	m.a.Tidy()
}

func (m *groupsModel) restore(t *rapid.T) {
	w := stream.NewStateWriter()
	m.b.Snapshot(w)
	state := w.Finish()
	m.b = newGroups(t, m.fields)
	restoreGroups(t, m.b, state)
	for id := range m.next {
		if m.b.Has(uint64(id)) != (m.refs[id] > 0) {
			t.Fatalf("restored group %d: %v, it is retained %d times", id, m.b.Has(uint64(id)), m.refs[id])
		}
		for range m.refs[id] {
			m.b.Retain([]uint32{id})
		}
	}
	if err := m.b.Check(); err != nil {
		t.Fatal(err)
	}
	again := stream.NewStateWriter()
	m.b.Snapshot(again)
	if !slices.Equal(again.Finish(), state) {
		t.Fatal("the snapshot of the restored table differs")
	}
}

func restoreGroups(t interface{ Fatal(...any) }, g *table.Groups, state []byte) {
	r, err := stream.NewStateReader(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Restore(r); err != nil {
		t.Fatal(err)
	}
}

// renewDictionaries is what a reader does when its strings grow too many, or when another batch comes.
func (m *groupsModel) renewDictionaries(t *rapid.T) {
	if rapid.Bool().Draw(t, "other batch") {
		m.in[1] = stream.NewBatch(&stream.Schema{Fields: m.fields})
		return
	}
	for c := range m.fields {
		if d := m.in[0].Cols[c].Dict; d != nil {
			d.Reset()
		}
	}
}

// check compares the columns of all groups.
func (m *groupsModel) check(t *rapid.T) {
	var ids []uint32
	for id := range m.next {
		if m.refs[id] > 0 {
			ids = append(ids, id)
		}
	}
	if m.a.Live() != len(ids) || m.b.Live() != len(ids) {
		t.Fatalf("%d and %d groups live, want %d", m.a.Live(), m.b.Live(), len(ids))
	}
	for _, g := range []*table.Groups{m.a, m.b} {
		out := stream.NewBatch(&stream.Schema{Fields: m.fields})
		g.Bind(out)
		g.AppendColumns(ids, out.Cols)
		out.SetLen(len(ids))
		for i, id := range ids {
			if got := m.ids[string(stream.AppendKey(nil, out, m.cols, i))]; got != id {
				t.Fatalf("the columns of group %d are those of %d", id, got)
			}
		}
	}
}

// TestTidy: strings of groups that come and go do not pile up.
func TestTidy(t *testing.T) {
	for _, shape := range []string{"string", "mixed"} {
		fields := shapes[shape]
		g := newGroups(t, fields)
		b := stream.NewBatch(&stream.Schema{Fields: fields})
		cols := make([]int, len(fields))
		for c := range cols {
			cols[c] = c
		}
		var keep []uint32
		var text []byte
		for i := range 20_000 {
			b.Reset()
			for c := range b.Cols {
				if b.Cols[c].Kind == stream.String {
					text = append(text[:0], byte(i), byte(i>>8), 'x')
					b.Cols[c].AppendBytes(text)
				} else {
					b.Cols[c].AppendNull()
				}
			}
			b.SetLen(1)
			id := []uint32{0}
			g.Resolve(b, cols, []int32{0}, id)
			g.Retain(id)
			if i < 10 {
				keep = append(keep, id[0])
				continue
			}
			g.Release(id)
			g.Tidy()
		}
		out := stream.NewBatch(&stream.Schema{Fields: fields})
		g.Bind(out)
		g.AppendColumns(keep, out.Cols)
		for i := range keep {
			if got, want := out.Cols[0].Text(i), string([]byte{byte(i), 0, 'x'}); got != want {
				t.Errorf("%s: group %d is %q, want %q", shape, i, got, want)
			}
		}
		if n := out.Cols[0].Dict.Len(); n > 1100 {
			t.Errorf("%s: %d strings for %d groups", shape, n, g.Live())
		}
	}
}

func TestTooManyColumns(t *testing.T) {
	if _, err := table.NewGroups(make([]stream.Field, table.MaxColumns+1)); err == nil {
		t.Error("want an error")
	}
}
