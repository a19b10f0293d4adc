package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// tasted is an operator that panics behind the rows before a poisoned record, which it has worked off.
type tasted struct {
	stream.Operator
	immune bool
}

func (o *tasted) Process(b *stream.Batch, out stream.Emitter) error {
	n := beforePoison(b)
	if o.immune || n == b.Len() {
		return o.Operator.Process(b, out)
	}
	if n > 0 {
		var before stream.Batch
		b.View(&before, 0, n)
		if err := o.Operator.Process(&before, out); err != nil {
			return err
		}
	}
	panic(errors.New("the operator cannot stand it"))
}

// calmDecoder rejects what makes workers panic, with the reason that they find.
type calmDecoder struct{ eventDecoder }

func (d *calmDecoder) Decode(m *stream.Message, b *stream.Batch) error {
	for panics, reason := range panicReasons {
		if strings.HasSuffix(string(m.Value), panics) {
			return stream.Mark(stream.Reject, errors.New(reason))
		}
	}
	return d.eventDecoder.Decode(m, b)
}

var panicReasons = map[string]string{poison: "panic: the operator cannot stand it", rot: "panic: the decoder cannot stand it"}

// letters are the dead letters, by partition and offset.
type letters struct {
	mu  sync.Mutex
	all map[string]string
	bad string // a record that has two reasons
}

func (l *letters) note(p stream.Partition, r *stream.Rejected) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := fmt.Sprintf("dead|%d|%d", p.Number, r.Offset)
	if old, ok := l.all[key]; ok && old != r.Reason {
		l.bad = fmt.Sprintf("dead letter %s says %q, and said %q", key, r.Reason, old)
	}
	if l.all == nil {
		l.all = map[string]string{}
	}
	l.all[key] = r.Reason
}

// deadLetters is the output of a task.
type deadLetters struct {
	life *streamtest.Life
	to   *letters
	of   stream.Partition
}

// Write implements engine.DeadLetters.
func (d deadLetters) Write(_ context.Context, dead []stream.Rejected) error {
	return d.life.Call("dead letter", func() error {
		for i := range dead {
			d.to.note(d.of, &dead[i])
		}
		return nil
	})
}

// Flush implements engine.DeadLetters.
func (deadLetters) Flush(context.Context) error { return nil }

// Close implements engine.DeadLetters.
func (deadLetters) Close() error { return nil }
