package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// A fail-over of the claim store may lose the last claims. What depends on records alone comes out equal when they are worked
// off again, but control records exist in rows only, and their effect may have left. So each one is copied to the object
// store behind its claim and before it takes effect. The first owner on another timeline of the store claims the copies that
// are ahead of its row again, at their versions. Which epochs were lost nobody knows: up to the end of the log as of then, the
// frontier, no new control record is accepted, since a lost epoch without it may have been revealed.

// copiesOf is where the copies of a task's control records lie.
func copiesOf(id stream.TaskID) string { return taskPrefix(id) + copiesFolder + "/" }

const copiesFolder = "controls"

// copied reports whether a fail-over may lose the claim of this control record alone. A cut is lost as a whole, with the
// version of the pipeline that begins at it.
func copied(k *stream.Control) bool { return k.Kind != controlUntil && k.Kind != controlSince }

// keep copies a control record that was claimed. It must not take effect before that. The copy is garbage when no fail-over
// goes back so far.
func (t *task) keep(ctx context.Context, k *stream.Control) error {
	if t.deps.Lossless || !copied(k) {
		return nil
	}
	body, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("encode control record: %w", err)
	}
	key := copiesOf(t.id) + k.At.Hex()
	err = again(ctx, t.deps.Clock, t.log, "copy control record", func(ctx context.Context) error {
		return t.deps.Objects.Put(ctx, key, body)
	})
	if err != nil {
		return fmt.Errorf("copy control record: %w", err)
	}
	t.deps.collector.schedule([]string{key})
	return nil
}

// meetTimeline fixes the frontier if the row is met on another timeline than it was claimed on, and finds the control records
// that were claimed there and are ahead of the row.
func (t *task) meetTimeline(ctx context.Context, cp *stream.Checkpoint, rec *stream.Record) error {
	if t.moved = cp.Epoch == 0 || rec.Timeline != cp.Timeline; t.moved {
		var end int64
		err := again(ctx, t.deps.Clock, t.log, "ask for the log's end", func(ctx context.Context) (err error) {
			end, err = t.deps.Source.LogEnd(ctx, t.id.Partition)
			return err
		})
		if err != nil {
			return err
		}
		rec.Timeline, rec.Frontier = cp.Timeline, &stream.Version{Offset: end}
	}
	if rec.Frontier == nil {
		return nil
	}
	t.frontier = *rec.Frontier
	return again(ctx, t.deps.Clock, t.log, "look for copies of control records", func(ctx context.Context) (err error) {
		t.lost, err = t.copiesAhead(ctx, rec)
		return err
	})
}

// copiesAhead reads the copies of control records that the row does not know.
func (t *task) copiesAhead(ctx context.Context, rec *stream.Record) (ahead []stream.Control, err error) {
	var keys []string
	err = t.deps.Objects.List(ctx, copiesOf(t.id), func(o stream.Object) error {
		if name := strings.TrimPrefix(o.Key, copiesOf(t.id)); name > rec.At.Hex() && (rec.Control == nil || name != rec.Control.At.Hex()) {
			keys = append(keys, o.Key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		body, err := t.deps.Objects.Get(ctx, key)
		if errors.Is(err, fs.ErrNotExist) { // collected meanwhile: a fail-over does not go back so far
			continue
		}
		if err != nil {
			return nil, err
		}
		var k stream.Control
		if err := json.Unmarshal(body, &k); err != nil {
			return nil, fmt.Errorf("read copy of a control record %s: %w", key, err)
		}
		ahead = append(ahead, k)
	}
	slices.SortFunc(ahead, func(x, y stream.Control) int { return x.At.Compare(y.At) })
	return ahead, nil
}

// mayControl reports whether a new control record may be accepted at the present version.
func (t *task) mayControl() bool { return len(t.lost) == 0 && t.lane.at.Compare(t.frontier) >= 0 }

// workOff works off the input. Where a control record was lost it is claimed again, before the next record.
func (t *task) workOff(ctx context.Context) error {
	for {
		limit := int64(maxOffset)
		if len(t.lost) > 0 {
			limit = t.lost[0].At.Offset
		}
		if k := t.suspect.next(); k != nil {
			limit = min(limit, k.At.Offset)
		}
		limit, err := t.begin(ctx, limit)
		if err != nil {
			return err
		}
		why, err := t.lane.work(ctx, limit, t.cut)
		if err != nil {
			return err
		}
		if err := t.done(ctx); err != nil {
			return err
		}
		if err := t.reclaim(ctx); err != nil || why != limited {
			return err
		}
		if err := t.quarantine(ctx); err != nil {
			return err
		}
	}
}

// reclaim claims the lost control records of the present offset again.
func (t *task) reclaim(ctx context.Context) error {
	for len(t.lost) > 0 && t.lost[0].At.Offset == t.lane.at.Offset {
		if err := t.settle(ctx); err != nil {
			return err
		}
		k := t.lost[0]
		t.lost = t.lost[1:]
		t.log.Info("claiming a control record again that a fail-over has lost", "kind", k.Kind, "offset", k.At.Offset)
		if err := t.controlEpoch(ctx, &k); err != nil {
			return err
		}
	}
	return nil
}
