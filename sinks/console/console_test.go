package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/sinks/console"
	"github.com/tidewatch/tidewatch/stream"
)

var schema = &stream.Schema{Fields: []stream.Field{
	{Name: "host", Kind: stream.String}, {Name: "avg", Kind: stream.Float}, {Name: "samples", Kind: stream.Int}, {Name: "ok", Kind: stream.Bool},
}}

// rollup is a closed window with these hosts.
func rollup(hosts ...string) *stream.Batch {
	b := stream.NewBatch(schema)
	b.Phase = stream.Closed
	start := stream.TimeOf(time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC))
	b.Window = stream.Window{Start: start, End: start.Add(10 * time.Second)}
	for i, h := range hosts {
		b.Cols[0].AppendString(h)
		if i == 1 {
			b.Cols[1].AppendNull()
		} else {
			b.Cols[1].AppendFloat(0.25)
		}
		b.Cols[2].AppendInt(int64(i))
		b.Cols[3].AppendBool(i == 0)
	}
	b.SetLen(len(hosts))
	return b
}

func Example() {
	s := console.New(os.Stdout).NewSink("host-cpu", "cpu")
	_ = s.Write(context.Background(), rollup("web-1", "web-2"))
	t := console.NewTable(os.Stdout).NewSink("host-cpu", "cpu")
	_ = t.Write(context.Background(), rollup("web-1", "web-2"))
	// Output:
	// {"pipeline":"host-cpu","output":"cpu","phase":"closed","window":"2026-11-24T05:00:00Z","row":{"host":"web-1","avg":0.25,"samples":0,"ok":true}}
	// {"pipeline":"host-cpu","output":"cpu","phase":"closed","window":"2026-11-24T05:00:00Z","row":{"host":"web-2","samples":1,"ok":false}}
	// host-cpu cpu (closed)
	// WINDOW                HOST   AVG   SAMPLES  OK
	// 2026-11-24T05:00:00Z  web-1  0.25  0        true
	// 2026-11-24T05:00:00Z  web-2  -     1        false
}

func TestLinesAreJSONWhateverTheNames(t *testing.T) {
	var out bytes.Buffer
	name := "a\"b\\c\x00\x1b[2J\u2028é"
	if err := console.New(&out).NewSink(name, name).Write(t.Context(), rollup(name)); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Pipeline, Output string
		Row              struct{ Host string }
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err, out.String())
	}
	if line.Pipeline != name || line.Output != name || line.Row.Host != name {
		t.Fatalf("%+v", line)
	}
}

func TestTablesKeepControlCharactersBack(t *testing.T) {
	var out bytes.Buffer
	if err := console.NewTable(&out).NewSink("p", "o").Write(t.Context(), rollup("\x1b[2J\xff")); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), "\xff") || !strings.Contains(out.String(), `\x1b[2J\xff`) {
		t.Fatalf("%q", out.String())
	}
}

func TestATableBeginsWithEachOutput(t *testing.T) {
	var out bytes.Buffer
	p := console.NewTable(&out)
	a, b := p.NewSink("p", "a"), p.NewSink("p", "b")
	late := rollup("x")
	late.Phase = stream.Late
	for _, w := range []struct {
		s *console.Sink
		b *stream.Batch
	}{{a, rollup("x")}, {a, rollup("y")}, {b, rollup("z")}, {a, rollup()}, {a, late}} {
		if err := w.s.Write(t.Context(), w.b); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "HOST"); n != 3 {
		t.Fatalf("%d tables:\n%s", n, out.String())
	}
}

// broken fails.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("pipe closed") }

func TestWritersErrorIsReported(t *testing.T) {
	if err := console.New(broken{}).NewSink("p", "o").Write(t.Context(), rollup("x")); err == nil || !strings.Contains(err.Error(), "pipe closed") {
		t.Fatal(err)
	}
}

func TestSinksDoNotMixTheirLines(t *testing.T) {
	var out bytes.Buffer
	p := console.New(&out)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s := p.NewSink("p", "o")
			for range 50 {
				if err := s.Write(t.Context(), rollup("a", "b", "c")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 600 {
		t.Fatal(len(lines))
	}
	for i, l := range lines {
		if !json.Valid([]byte(l)) || !strings.Contains(l, string("abc"[i%3])) {
			t.Fatalf("line %d: %s", i, l)
		}
	}
}
