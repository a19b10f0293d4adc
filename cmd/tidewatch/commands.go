package main

import (
	"context"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/stream"
)

// commandsPlan folds the instructions of people into the alert store: a pipeline like any other, so commands have a
// ledger, dead letters and a position that survives crashes.
func commandsPlan(store *postgres.AlertStore) *engine.Plan {
	p := &engine.Plan{Pipeline: "tidewatch.commands", Instance: "tidewatch.commands@1"}
	p.Stages = []*engine.Stage{{
		Plan: p, Name: "main", Topics: []string{alerts.CommandsTopic},
		Time:       engine.Time{MaxJump: time.Minute},
		Interval:   engine.Intervals{Epoch: 200 * time.Millisecond, Snapshot: 30 * time.Second, Publish: time.Minute},
		NewDecoder: func() (stream.Decoder, error) { return commandDecoder{}, nil },
		NewSteps:   func(engine.TaskContext) ([]engine.Step, error) { return nil, nil },
		NewSinks: func(context.Context, engine.TaskContext) ([]engine.Output, error) {
			return []engine.Output{{Name: "alerts", Of: "source", Phases: []stream.Phase{stream.Event}, Sink: &commandSink{store: store}}}, nil
		},
	}}
	return p
}

// commandDecoder keeps the command as text, once it is known to be valid.
type commandDecoder struct{}

var commandSchema = &stream.Schema{Fields: []stream.Field{{Name: "command", Kind: stream.String}}}

func (commandDecoder) Schema() *stream.Schema { return commandSchema }

func (commandDecoder) Decode(m *stream.Message, b *stream.Batch) error {
	c, err := alerts.ParseCommand(m.Value)
	if err != nil {
		return err
	}
	if b.Len() == 0 && b.Cols[0].Dict.Len() > 1000 {
		b.Cols[0].Dict.Reset()
	}
	b.Cols[0].AppendBytes(m.Value)
	b.Time, b.Offset, b.Producer = append(b.Time, stream.TimeOf(c.Time)), append(b.Offset, m.Offset), append(b.Producer, 0)
	b.Timestamp, b.Bytes = append(b.Timestamp, m.Timestamp), append(b.Bytes, uint32(len(m.Value)))
	b.SetLen(b.Len() + 1)
	return nil
}

// commandSink applies the commands of an epoch before its claim. They may be applied again: the newest of an alert wins.
type commandSink struct {
	store   *postgres.AlertStore
	pending []alerts.Logged
}

// Write implements stream.Sink.
func (s *commandSink) Write(_ context.Context, b *stream.Batch) error {
	for i := range b.Len() {
		c, err := alerts.ParseCommand(b.Cols[0].Dict.Bytes(b.Cols[0].IDs[i]))
		if err != nil {
			return stream.Mark(stream.Fatal, err) // the decoder has read it
		}
		s.pending = append(s.pending, alerts.Logged{Command: c, Offset: b.Offset[i]})
	}
	return nil
}

// Stage implements stream.Sink.
func (s *commandSink) Stage(stream.Epoch) stream.Work {
	if len(s.pending) == 0 {
		return nil
	}
	all := s.pending
	s.pending = nil
	return func(ctx context.Context) (stream.Receipt, error) { return nil, s.store.Acknowledge(ctx, all) }
}

// Reveal implements stream.Sink; there is never a receipt.
func (s *commandSink) Reveal(context.Context, stream.Receipt) error { return nil }

// Close implements stream.Sink.
func (s *commandSink) Close() error { return nil }
