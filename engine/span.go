package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// span is the event time that a version of a pipeline answers for: windows that start in [since, until), and events in it.
// Another version has the rest. The operators up to the window see everything, so that windows that lie across a cut are
// complete; what comes out of it, and rules, see the span only.
type span struct{ since, until stream.Time }

func wholeTime() span { return span{stream.NoTime, stream.MaxTime} }

func (s *span) isWhole() bool { return *s == wholeTime() }

// outside is whether the rows are of a window of another version.
func (s *span) outside(b *stream.Batch) bool {
	if b.Phase == stream.Event || b.Phase == stream.Late || b.Phase == stream.Partial {
		return false
	}
	return b.Window.Start < s.since || b.Window.Start >= s.until
}

// advance is the progress that a step is told of, if any: behind the window it ends at the cut, or begins there.
func (s *span) advance(to stream.Advance, behind bool) (_ stream.Advance, told bool) {
	if !behind {
		return to, true
	}
	to.Mark, to.RecordMark = min(to.Mark, s.until), min(to.RecordMark, s.until)
	return to, s.since == stream.NoTime || to.Mark >= s.since
}

// due is when a step has something to decide that it will be told of.
func (s *span) due(at stream.Time, behind bool) stream.Time {
	if behind && at > s.until {
		return stream.MaxTime
	}
	return at
}

// within is what an output sees of event rows: those of the span.
func (c *chain) within(b *stream.Batch) *stream.Batch {
	if b.Phase != stream.Event && b.Phase != stream.Late || c.span.isWhole() {
		return b
	}
	foreign := func(t stream.Time) bool { return t < c.span.since || t >= c.span.until }
	first := slices.IndexFunc(b.Time, foreign)
	if first < 0 {
		return b
	}
	if c.rows == nil || c.rows.Schema != b.Schema {
		c.rows = stream.NewBatch(b.Schema)
	}
	c.rows.Reset()
	c.rows.Phase = b.Phase
	for i, t := range b.Time {
		if i < first || !foreign(t) {
			c.rows.AppendRow(b, i)
		}
	}
	return c.rows
}

// snapshot writes the span, if there was a cut.
func (s *span) snapshot(w *stream.StateWriter) {
	if s.isWhole() {
		return
	}
	w.Section("span", 1)
	w.Int(int64(s.since))
	w.Int(int64(s.until))
}

func (s *span) restore(r *stream.StateReader) {
	if _, ok := r.Section("span"); ok {
		s.since, s.until = stream.Time(r.Int()), stream.Time(r.Int())
	}
}

// inherit begins with the state of the version before.
func (l *lane) inherit(ctx context.Context, k *stream.Control) error {
	if k.Inherit == nil {
		return nil
	}
	r, err := l.inherited(ctx, k.Inherit)
	if err != nil {
		return fmt.Errorf("inherit from the version before: %w", err)
	}
	if k.Inherit.Marks {
		r.Scope("marks/")
		if err := l.marker.Restore(r); err != nil {
			return fmt.Errorf("inherit marks from the version before: %w", err)
		}
		l.mark, l.record = l.marker.Marks()
	}
	for _, s := range l.chain.steps {
		scope, ok := k.Inherit.Steps[s.Name]
		if !ok {
			continue
		}
		r.Scope(scope)
		take := s.Operator.Restore
		if heir, ok := s.Operator.(stream.Heir); ok {
			take = func(r *stream.StateReader) error { return heir.Inherit(r, k.Cut) }
		}
		if err := take(r); err != nil {
			return fmt.Errorf("inherit step %s from the version before: %w", s.Name, err)
		}
	}
	return nil
}
