package table_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/tidewatch/tidewatch/internal/golden"
	"github.com/tidewatch/tidewatch/operators/table"
	"github.com/tidewatch/tidewatch/stream"
)

// sample is a table with free numbers, strings that several groups share, and nulls.
func sample(t *testing.T) *table.Groups {
	t.Helper()
	fields := shapes["mixed"]
	g := newGroups(t, fields)
	b := stream.NewBatch(&stream.Schema{Fields: fields})
	const rows = 12
	for i := range rows {
		for c, f := range fields {
			switch {
			case (i+c)%5 == 0:
				b.Cols[c].AppendNull()
			case f.Kind == stream.String:
				b.Cols[c].AppendString(fmt.Sprintf("text-%d", i*(c+1)%7))
			case f.Kind == stream.Float:
				b.Cols[c].AppendFloat(float64(i) / 4)
			default:
				b.Cols[c].AppendInt(int64(i % 2))
			}
		}
	}
	b.SetLen(rows)
	ids, at := make([]uint32, rows), make([]int32, rows)
	for i := range at {
		at[i] = int32(i)
	}
	g.Resolve(b, []int{0, 1, 2, 3, 4}, at, ids)
	g.Retain(ids)
	g.Release(ids[3:5])
	return g
}

// describe says which group each number is.
func describe(g *table.Groups, fields []stream.Field) (text string) {
	for id := range uint64(16) {
		if !g.Has(id) {
			continue
		}
		out := stream.NewBatch(&stream.Schema{Fields: fields})
		g.Bind(out)
		g.AppendColumns([]uint32{uint32(id)}, out.Cols)
		text += fmt.Sprint(id)
		for c := range out.Cols {
			text += fmt.Sprintf(" %v", out.Cols[c].Value(0))
		}
		text += "\n"
	}
	return text
}

// TestEveryVersionIsRead: tables that earlier versions have written. The files were written by those versions.
func TestEveryVersionIsRead(t *testing.T) {
	w := stream.NewStateWriter()
	sample(t).Snapshot(w)
	present := w.Finish()
	fresh := newGroups(t, shapes["mixed"])
	restoreGroups(t, fresh, present)
	want := describe(fresh, shapes["mixed"])
	for version := 1; version <= table.GroupsVersion; version++ {
		name := fmt.Sprintf("testdata/groups-%d.state", version)
		if version == table.GroupsVersion {
			golden.File(t, name, string(present))
		}
		state, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		g := newGroups(t, shapes["mixed"])
		restoreGroups(t, g, state)
		if got := describe(g, shapes["mixed"]); got != want {
			t.Errorf("version %d holds\n%s, want\n%s", version, got, want)
		}
	}
}
