// Package console shows rows to people and pipes: one JSON object a line, at once. It keeps no promises beyond that: a
// row may be shown again after a crash.
package console

import (
	"context"
	"io"
	"strconv"
	"sync"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// Printer writes the lines of all sinks to one writer. Safe for concurrent use.
type Printer struct {
	mu struct {
		sync.Mutex
		out io.Writer
		buf []byte
	}
}

// New prints to out.
func New(out io.Writer) *Printer {
	p := &Printer{}
	p.mu.out = out
	return p
}

// Sink prints one output of one task. It implements stream.Sink.
type Sink struct {
	p                *Printer
	pipeline, output string
}

// NewSink returns a sink whose lines name pipeline and output.
func (p *Printer) NewSink(pipeline, output string) *Sink { return &Sink{p, pipeline, output} }

// Write implements stream.Sink: {"pipeline":…,"output":…,"phase":…,"window":…,"row":{…}}.
func (s *Sink) Write(_ context.Context, b *stream.Batch) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	buf := s.p.mu.buf[:0]
	for i := range b.Len() {
		buf = strconv.AppendQuote(append(buf, `{"pipeline":`...), s.pipeline)
		buf = strconv.AppendQuote(append(buf, `,"output":`...), s.output)
		buf = strconv.AppendQuote(append(buf, `,"phase":`...), b.Phase.String())
		if b.Phase != stream.Event && b.Phase != stream.Late {
			buf = strconv.AppendQuote(append(buf, `,"window":`...), b.Window.Start.String())
		}
		buf = schemas.AppendJSON(append(buf, `,"row":`...), b, i)
		buf = append(buf, '}', '\n')
	}
	s.p.mu.buf = buf
	_, err := s.p.mu.out.Write(buf)
	return err
}

// Stage implements stream.Sink: there is nothing to stage.
func (s *Sink) Stage(stream.Epoch) stream.Work { return nil }

// Reveal implements stream.Sink; there is never a receipt.
func (s *Sink) Reveal(context.Context, stream.Receipt) error { return nil }

// Close implements stream.Sink.
func (s *Sink) Close() error { return nil }
