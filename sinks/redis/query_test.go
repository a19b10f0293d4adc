package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

func TestQueriesThatMakeNoSense(t *testing.T) {
	c := connect(t, "127.0.0.1:1")
	for want, change := range map[string]func(*Query){
		"hots is no group column of cpu: use host": func(q *Query) { q.Where = map[string]string{"hots": "x"} },
		"max is no group column":                   func(q *Query) { q.Where = map[string]string{"max": "1"} },
		"avg is no value of cpu: use max, samples": func(q *Query) { q.Columns = []string{"avg"} },
		"host is no value":                         func(q *Query) { q.Columns = []string{"host"} },
		"no span":                                  func(q *Query) { q.To = q.From },
		"choose a shorter span":                    func(q *Query) { q.From = 0 },
		"unknown kind":                             func(q *Query) { q.Output.Columns = []Column{{Name: "host"}} },
	} {
		q := Query{Output: hosts("i"), From: at(0), To: at(1)}
		change(&q)
		if _, err := c.Read(context.Background(), q); err == nil || !strings.Contains(err.Error(), want) || stream.KindOfError(err) == stream.Retry {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := c.Latest(context.Background(), Query{Output: hosts("i"), From: at(0), To: at(1)}); stream.KindOfError(err) != stream.Retry {
		t.Error(err)
	}
}

func TestConditionsByKind(t *testing.T) {
	for _, bad := range []struct {
		kind stream.Kind
		text string
	}{{stream.Int, "1.5"}, {stream.Float, "x"}, {stream.Bool, "ja"}, {stream.Timestamp, "today"}} {
		if _, err := parseCondition(0, bad.kind, bad.text); err == nil || !strings.Contains(err.Error(), bad.kind.String()) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestWindowsOfASpan(t *testing.T) {
	for _, span := range []struct {
		from, to stream.Time
		first, n int
	}{{at(1), at(3), 1, 2}, {at(1) + 1, at(3), 2, 1}, {at(1) - 1, at(1) + 1, 1, 1}, {at(1) + 1, at(2), 0, 0}} {
		p, err := Query{Output: hosts("i"), From: span.from, To: span.to}.plan()
		if err != nil || len(p.starts) != span.n || span.n > 0 && p.starts[0] != at(span.first) {
			t.Errorf("%+v: %v %v", span, p.starts, err)
		}
	}
}

// everyKindOutput has every kind among its group columns.
func everyKindOutput() Output {
	return Output{
		Pipeline: "p", Name: "o", Instance: "p@1", Groups: 5, Columns: ColumnsOf(groupsOfEveryKind),
		Window: 10 * time.Second, Every: 10 * time.Second,
	}
}

var groupsOfEveryKind = &stream.Schema{Fields: []stream.Field{
	{Name: "tenant", Kind: stream.String},
	{Name: "code", Kind: stream.Int},
	{Name: "load", Kind: stream.Float},
	{Name: "ok", Kind: stream.Bool},
	{Name: "seen", Kind: stream.Timestamp},
	{Name: "first", Kind: stream.String},
	{Name: "n", Kind: stream.Int},
}}

// Whatever the conditions are, the answer is what a loop over all rows gives, be it by one slot or by whole windows.
func TestAnswersAgreeWithALoop(t *testing.T) {
	c := connect(t, testservers.Redis(t))
	o := everyKindOutput()
	all := stream.NewBatch(groupsOfEveryKind)
	for i := range 300 {
		appendGroupOfEveryKind(all, i)
	}
	all.SetLen(300)
	s, err := c.NewSink(SinkConfig{Output: o, Task: sourceTask(0), Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b := bySlot(all, 5, window(1), version(1))
	write(t, s, b)
	flush(t, s, 1, at(2))
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.IntRange(0, b.Len()-1).Draw(t, "row")
		where := map[string]string{}
		for k := range o.Groups {
			if rapid.IntRange(0, 3).Draw(t, "take") > 0 && !b.Cols[k].IsNull(row) {
				where[o.Columns[k].Name] = textIn(&b.Cols[k], row)
			}
		}
		var want []string
		for i := range b.Len() {
			if passes(b, i, where) {
				want = append(want, fmt.Sprint(textIn(&b.Cols[5], i), b.Cols[6].Ints[i]))
			}
		}
		r, err := c.Read(context.Background(), Query{Output: o, From: at(0), To: at(3), Where: where, Columns: []string{"n", "first"}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range r.Series {
			for k := range s.Start {
				got = append(got, fmt.Sprint(textIn(&s.Columns[1], k), s.Columns[0].Ints[k]))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func appendGroupOfEveryKind(b *stream.Batch, i int) {
	for k := range 5 {
		col, v := &b.Cols[k], i/[]int{1, 2, 4, 8, 16}[k]%3
		switch {
		case v == 0 && i%5 == 0:
			col.AppendNull()
		case col.Kind == stream.String:
			col.AppendString([]string{"", "a", "ä"}[v])
		case col.Kind == stream.Float:
			col.AppendFloat(float64(v) / 3)
		case col.Kind == stream.Bool:
			col.AppendBool(v > 0)
		case col.Kind == stream.Timestamp:
			col.AppendInt(int64(at(v)) + int64(v))
		default:
			col.AppendInt(int64(v) - 1)
		}
	}
	if i%7 == 0 {
		b.Cols[5].AppendNull()
	} else {
		b.Cols[5].AppendString(fmt.Sprint("first ", i))
	}
	b.Cols[6].AppendInt(int64(i))
}

// textIn is how a person would write the value in a query.
func textIn(c *stream.Column, i int) string {
	if t, ok := c.Value(i).(stream.Time); ok {
		return t.String()
	}
	return fmt.Sprint(c.Value(i))
}

func passes(b *stream.Batch, i int, where map[string]string) bool {
	for name, want := range where {
		col := b.Col(name)
		if col.IsNull(i) || textIn(col, i) != want {
			return false
		}
	}
	return true
}

func TestDamagedBlocksAreReported(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			s := sink(t, c, 0)
			write(t, s, rowsOf(1, 1, map[string]int64{"host-1": 1}))
			flush(t, s, 1, at(1))
			ctx, key := context.Background(), windowKey(s.place, at(1))
			var p packer
			for want, block := range map[string]string{
				"damaged": "x", "newer version": string(appendVersion(nil, version(1))) + "\x07", "6 columns": string(p.pack(hostBatch(0, 3, 1), 0, 3)),
			} {
				if err := c.rdb.HSet(ctx, key, slotField(s.writer, 7), block).Err(); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Read(ctx, Query{Output: hosts("host-cpu@1"), From: at(0), To: at(3)}); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
			tombstone := string(appendVersion(nil, version(9))) + string(rune(formRows|formTombstone))
			if err := c.rdb.HSet(ctx, key, slotField(s.writer, 7), tombstone).Err(); err != nil {
				t.Fatal(err)
			}
			if got, _ := read(t, c, nil); len(got) != 1 {
				t.Errorf("%v: want what is beside the tombstone", got)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			if _, err := c.Output(ctx, "host-cpu", "cpu"); err == nil || !strings.Contains(err.Error(), ErrNoOutput.Error()) {
				t.Fatal(err)
			}
			for _, name := range []string{"b", "a"} {
				s := sink(t, c, 0, func(c *SinkConfig) { c.Output.Name = name })
				flush(t, s, 1, at(1))
			}
			for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
				all, err := c.Outputs(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if len(all) == 2 {
					one, err := c.Output(ctx, "host-cpu", "b")
					if diff := cmp.Diff(all[1], one); err != nil || diff != "" || all[0].Name != "a" {
						t.Fatal(diff, err, all)
					}
					want := hosts("host-cpu@1")
					want.Name = "b"
					if diff := cmp.Diff(want, one); diff != "" {
						t.Fatal(diff)
					}
					return
				}
			}
			t.Fatal("the outputs are not in the directory")
		})
	}
}

func TestWritersOf(t *testing.T) {
	for _, c := range []struct {
		tasks, through map[string]string
		want           stream.Time
	}{
		{nil, nil, stream.NoTime},
		{map[string]string{"t/0": "a/0 1"}, map[string]string{"a/0": "7"}, 7},
		{map[string]string{"t/0": "a/0 2"}, map[string]string{"a/0": "7"}, stream.NoTime},
		{map[string]string{"t/0": "a/0 2", "t/1": "a/1 2"}, map[string]string{"a/0": "7"}, stream.NoTime},
		{map[string]string{"t/0": "a/0 2", "t/1": "a/1 2"}, map[string]string{"a/0": "7", "a/1": "5", "b/1": "1"}, 5},
		{map[string]string{"t/0": "a/0 1", "u/0": "b/0 1"}, map[string]string{"a/0": "7", "b/0": "9"}, 7},
	} {
		w, err := writersOf(c.tasks, c.through)
		if err != nil || w.through != c.want {
			t.Errorf("%v: %v %v", c.tasks, w, err)
		}
	}
	for _, damaged := range []map[string]string{{"t": "a/0 1"}, {"t/0": "a/0"}, {"t/0": "a/0 x"}} {
		if _, err := writersOf(damaged, nil); err == nil {
			t.Error(damaged)
		}
	}
}
