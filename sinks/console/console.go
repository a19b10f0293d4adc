// Package console shows rows to people and pipes: one JSON object a line, or a table. Rows appear at once, when they are
// written, not when their epoch is claimed: somebody is looking. So it promises nothing beyond that; after a crash rows may
// be shown again.
package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// Printer writes the rows of all sinks to one writer. Safe for concurrent use; the rows of a Write stay together.
type Printer struct {
	table bool
	mu    struct {
		sync.Mutex
		out  io.Writer
		buf  []byte
		last title // of the table that is being printed
	}
}

// New prints JSON to out, a line for each row:
//
//	{"pipeline":"host-cpu","output":"cpu","phase":"closed","window":"2026-11-24T05:00:00Z","row":{…}}
func New(out io.Writer) *Printer {
	p := &Printer{}
	p.mu.out = out
	return p
}

// NewTable prints tables to out. A new one begins whenever the output or the phase is another.
func NewTable(out io.Writer) *Printer {
	p := New(out)
	p.table = true
	return p
}

// Sink prints one output of one task. It implements stream.Sink.
type Sink struct {
	p                *Printer
	pipeline, output string
	head             [stream.Partial + 1][]byte // what each line of a phase begins with
	widths           []int                      // of the table's columns so far
}

// NewSink returns a sink whose lines name pipeline and output.
func (p *Printer) NewSink(pipeline, output string) *Sink {
	s := &Sink{p: p, pipeline: pipeline, output: output}
	for phase := range s.head {
		s.head[phase] = fmt.Appendf(nil, `{"pipeline":%s,"output":%s,"phase":%s,`, quoted(pipeline), quoted(output), quoted(stream.Phase(phase).String()))
	}
	return s
}

// quoted is a JSON string.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("a string does not marshal: " + err.Error())
	}
	return b
}

// Write implements stream.Sink. An error is the writer's.
func (s *Sink) Write(_ context.Context, b *stream.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	buf := s.p.mu.buf[:0]
	if s.p.table {
		buf = s.appendTable(buf, b)
	} else {
		buf = s.appendLines(buf, b)
	}
	s.p.mu.buf = buf
	if _, err := s.p.mu.out.Write(buf); err != nil {
		return fmt.Errorf("print rows of %s: %w", s.output, err)
	}
	return nil
}

func (s *Sink) appendLines(buf []byte, b *stream.Batch) []byte {
	for i := range b.Len() {
		buf = append(buf, s.head[b.Phase]...)
		if hasWindow(b) {
			buf = fmt.Appendf(buf, `"window":"%s",`, b.Window.Start)
		}
		buf = schemas.AppendJSON(append(buf, `"row":`...), b, i)
		buf = append(buf, '}', '\n')
	}
	return buf
}

func hasWindow(b *stream.Batch) bool { return b.Phase != stream.Event && b.Phase != stream.Late }

// Stage implements stream.Sink: there is nothing to stage.
func (s *Sink) Stage(stream.Epoch) stream.Work { return nil }

// Reveal implements stream.Sink; there is never a receipt.
func (s *Sink) Reveal(context.Context, stream.Receipt) error { return nil }

// Close implements stream.Sink.
func (s *Sink) Close() error { return nil }
