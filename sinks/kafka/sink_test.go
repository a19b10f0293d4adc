package kafka

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

var rollupSchema = &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}, {Name: "avg", Kind: stream.Float}}}

var start = stream.TimeOf(time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC))

// rows is a batch of a phase at a version; events have the offset of the version.
func rows(phase stream.Phase, at stream.Version, hosts ...string) *stream.Batch {
	b := stream.NewBatch(rollupSchema)
	b.Phase, b.Version, b.At = phase, at, at
	b.Window = stream.Window{Start: start, End: start.Add(10 * time.Second)}
	for _, h := range hosts {
		b.Cols[0].AppendString(h)
		b.Cols[1].AppendFloat(0.5)
		if isEvent(b) {
			b.Offset, b.Time = append(b.Offset, at.Offset), append(b.Time, start)
		}
	}
	b.SetLen(len(hosts))
	return b
}

func TestSinkWritesJSONEventsWithTheirNames(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		topic := e.topic(t, 1)
		s := e.client(t).NewSink(task, topic)
		for _, b := range []*stream.Batch{
			rows(stream.Event, stream.Version{Offset: 7}, "a"),
			rows(stream.Closed, stream.Version{Offset: 8, Step: 2}, "b", "c"),
			rows(stream.Live, stream.Version{Offset: 9}, "d"),
		} {
			if err := s.Write(testContext(t), b); err != nil {
				t.Fatal(err)
			}
		}
		if receipt, err := s.Stage(stream.Epoch{})(testContext(t)); receipt != nil || err != nil {
			t.Fatal(receipt, err)
		}
		var got []string
		for _, r := range e.written(t, topic, 4) {
			if !json.Valid(r.Value) || r.Key != nil {
				t.Fatalf("%q: %s", r.Key, r.Value)
			}
			got = append(got, fmt.Sprintf("%s %s %s.%s#%s %s", header(r, HeaderTask), header(r, HeaderPhase), header(r, HeaderOffset),
				header(r, HeaderStep), header(r, HeaderIndex), r.Value))
		}
		want := []string{
			`p@1/s/in.abc/3 event 7.0#0 {"time":"2026-11-24T05:00:00Z","host":"a","avg":0.5}`,
			`p@1/s/in.abc/3 closed 8.2#0 {"time":"2026-11-24T05:00:00Z","window_end":"2026-11-24T05:00:10Z","host":"b","avg":0.5}`,
			`p@1/s/in.abc/3 closed 8.2#1 {"time":"2026-11-24T05:00:00Z","window_end":"2026-11-24T05:00:10Z","host":"c","avg":0.5}`,
			`p@1/s/in.abc/3 live 9.0# {"time":"2026-11-24T05:00:00Z","window_end":"2026-11-24T05:00:10Z","host":"d","avg":0.5}`,
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q\nwant %q", got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNamesDoNotDependOnTheRun: a row has the same name in every run, however batches are cut and at whichever record a
// replay begins, and no two rows share one. The history is what an engine does: at each offset events leave, late ones
// too; then windows may close, and ticks may close more.
func TestNamesDoNotDependOnTheRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type step struct {
			phase stream.Phase
			at    stream.Version
			hosts []string
		}
		var history []step
		begins := []int{0} // where a replay may begin
		n := 0
		add := func(phase stream.Phase, at stream.Version, most int) {
			s := step{phase: phase, at: at}
			for range rapid.IntRange(0, most).Draw(t, "rows") {
				s.hosts = append(s.hosts, fmt.Sprint("row", n))
				n++
			}
			history = append(history, s)
		}
		for offset := range int64(rapid.IntRange(1, 6).Draw(t, "records")) {
			begins = append(begins, len(history))
			add(stream.Event, stream.Version{Offset: offset}, 3)
			add(stream.Late, stream.Version{Offset: offset}, 1)
			for tick := range uint32(rapid.IntRange(1, 3).Draw(t, "ticks")) {
				at := stream.Version{Offset: offset + 1, Step: tick}
				add(stream.Revised, at, 2)
				for range rapid.IntRange(0, 2).Draw(t, "windows") {
					add(stream.Closed, at, 3)
				}
			}
		}
		run := func(from int) map[string]string { // name by row
			var n namer
			labels := newLabels([]byte("t"))
			names := map[string]string{}
			for _, h := range history[from:] {
				for rest := h.hosts; len(rest) > 0; {
					k := rapid.IntRange(1, len(rest)).Draw(t, "cut")
					b := rows(h.phase, h.at, rest[:k]...)
					for i := range b.Len() {
						name := n.name(b, i)
						names[rest[i]] = fmt.Sprint(labels.of(&name))
					}
					rest = rest[k:]
				}
			}
			return names
		}
		first := run(0)
		owner := map[string]string{}
		for row, name := range first {
			if other, ok := owner[name]; ok {
				t.Fatalf("%s and %s are both %s", row, other, name)
			}
			owner[name] = row
		}
		for row, name := range run(rapid.SampledFrom(begins).Draw(t, "begin")) {
			if first[row] != name {
				t.Fatalf("%s is %s, and %s in another run", row, first[row], name)
			}
		}
	})
}

func TestRowsWithoutColumns(t *testing.T) {
	b := rows(stream.Closed, stream.Version{}, "")
	b.Schema, b.Cols = &stream.Schema{}, nil
	if got, want := string(new(rowTexts).append(nil, b, 0)), `{"time":"2026-11-24T05:00:00Z","window_end":"2026-11-24T05:00:10Z"}`; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}
