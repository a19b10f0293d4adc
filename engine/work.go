package engine

import (
	"context"

	"github.com/tidewatch/tidewatch/stream"
)

// What a task and a Local do alike: work off inputs to their cuts, tell the sinks of control records, end the sinks' parts.

// work works off the input up to the offset limit, or to its end. Where a part ends it calls cut, before the next record.
func (l *lane) work(ctx context.Context, limit int64, cut func(context.Context) error) (stop, error) {
	for {
		why, err := l.run(ctx, limit)
		if err != nil || why != cutting {
			return why, err
		}
		if err := cut(ctx); err != nil {
			return why, err
		}
		l.part = part{}
	}
}

// control shows a control record that takes effect to the sinks that keep them.
func (c *chain) control(k *stream.Control) {
	for _, o := range c.outputs {
		if sink, ok := o.Sink.(stream.ControlSink); ok {
			sink.Control(k)
		}
	}
}

// stage ends the epoch's part of every sink.
func (c *chain) stage(e stream.Epoch) (works []stageWork) {
	for _, o := range c.outputs {
		if w := o.Sink.Stage(e); w != nil {
			works = append(works, stageWork{sink: o.Name, live: o.Live, run: w})
		}
	}
	return works
}
