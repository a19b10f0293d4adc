package generate

import (
	"context"
	"io"
	"slices"
	"testing"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// The generator is no source; it fills topics and files. But what it makes is a log, and readers over it must behave as
// readers do, since runs are continued and checked from numbers of events.

const acceptanceEvents = 400

// reader reads the events of a generator from a number on. It implements stream.Reader.
type reader struct {
	g       *Generator
	next    int64
	portion int64
	decoder stream.Decoder
	batch   *stream.Batch
	event   Event
}

func (r *reader) message(i int64) *stream.Message {
	r.g.Event(i, &r.event)
	return &stream.Message{Offset: i, Timestamp: r.event.Time, Key: r.event.Key, Value: r.event.Value}
}

func (r *reader) Read(ctx context.Context) (*stream.Input, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case r.next == acceptanceEvents:
		return nil, io.EOF
	}
	r.batch.Reset()
	in := &stream.Input{Batch: r.batch, From: r.next, Next: min(r.next+r.portion, acceptanceEvents), End: acceptanceEvents}
	for ; r.next < in.Next; r.next++ {
		if err := r.decoder.Decode(r.message(r.next), r.batch); err != nil {
			return nil, err
		}
	}
	r.batch.Settle()
	return in, nil
}

func (r *reader) Close() error { return nil }

func TestAcceptance(t *testing.T) {
	names, _ := Names()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			c := Default(name)
			c.Seed, c.Partitions = 11, 4
			streamtest.RunSource(t, acceptance(t, c))
		})
	}
}

func acceptance(t *testing.T, c Config) streamtest.SourceHarness {
	t.Helper()
	fresh := func() *Generator {
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	shared := fresh()
	def, err := schemas.Builtin().Lookup(schemaOf(shared), 1)
	if err != nil {
		t.Fatal(err)
	}
	decoder := func() stream.Decoder {
		d, err := schemas.NewDecoder("json", def, def.Names())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	way := func(name string, portion int64, of func() *Generator) streamtest.SourceWay {
		return streamtest.SourceWay{Name: name, Open: func(_ testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
			if offset < 0 || offset > acceptanceEvents {
				return nil, stream.Mark(stream.Fatal, io.ErrUnexpectedEOF)
			}
			return &reader{g: of(), next: offset, portion: portion, decoder: d, batch: stream.NewBatch(d.Schema())}, nil
		}}
	}
	h := streamtest.SourceHarness{
		Decoder: decoder, End: acceptanceEvents, Bounded: true, Histories: 6,
		Ways: []streamtest.SourceWay{
			way("one generator", 100, func() *Generator { return shared }), way("a fresh one", 7, fresh), way("by single events", 1, fresh),
		},
	}
	all := &reader{g: fresh()}
	for i := range int64(acceptanceEvents) {
		m := *all.message(i)
		m.Key, m.Value = slices.Clone(m.Key), slices.Clone(m.Value)
		h.Log = append(h.Log, m)
	}
	return h
}

// schemaOf is the schema of the scenario's events.
func schemaOf(g *Generator) string {
	if g.Topic() == "metrics" {
		return "metric"
	}
	return "security"
}
