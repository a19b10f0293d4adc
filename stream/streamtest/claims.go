package streamtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// Claims is a fake claim store of a life.
func (l *Life) Claims() stream.ClaimStore { return claims{l} }

type claims struct{ l *Life }

// TakeOver implements stream.ClaimStore.
func (c claims) TakeOver(_ context.Context, task stream.TaskID, owner string) (row *stream.Checkpoint, err error) {
	err = c.l.call("take over", func() error {
		w := c.l.W
		w.mu.Lock()
		defer w.mu.Unlock()
		w.remember()
		r := w.mu.rows[task.String()]
		if r == nil {
			r = &stream.Checkpoint{Task: task}
			w.mu.rows[task.String()] = r
		}
		ended := w.mu.journal.takeOver(task.String(), r.Owner == owner)
		r.Owner, r.Timeline = owner, w.mu.timeline
		found := *r
		found.Ended = ended
		row = &found
		return nil
	})
	return row, err
}

// Claim implements stream.ClaimStore.
func (c claims) Claim(_ context.Context, all []*stream.Checkpoint) ([]bool, error) {
	won := make([]bool, len(all))
	err := c.l.call("claim", func() error {
		c.l.W.mu.Lock()
		defer c.l.W.mu.Unlock()
		c.l.W.remember()
		for i, cp := range all {
			won[i] = c.l.W.claim(cp)
		}
		return nil
	})
	if err != nil { // a delayed effect may still write to won
		return nil, err
	}
	return won, nil
}

// claim must be called with the lock held.
func (w *World) claim(cp *stream.Checkpoint) bool {
	row := w.mu.rows[cp.Task.String()]
	if row == nil {
		return false
	}
	if row.Epoch != cp.Epoch-1 || row.Owner != cp.Owner || row.Timeline != cp.Timeline || w.mu.timeline != cp.Timeline {
		return row.Epoch == cp.Epoch && bytes.Equal(row.Record, cp.Record)
	}
	row.Epoch, row.Record = cp.Epoch, slices.Clone(cp.Record)
	w.mu.journal.attempts[cp.Task.String()] = 1
	if w.Forgetful {
		won := *row
		w.mu.claimed = append(w.mu.claimed, &won)
	}
	for _, d := range cp.Decisions {
		old, ok := w.mu.byID[d.ID]
		switch {
		case !ok:
			w.mu.byID[d.ID] = d.Body
			w.mu.decisions = append(w.mu.decisions, d)
		case !bytes.Equal(old, d.Body):
			w.violated("decision %s has two contents: %s and %s", d.ID, old, d.Body)
		case w.Strict:
			w.violated("decision %s is claimed again: a replay must not decide", d.ID)
		}
	}
	return true
}

// Succeed implements stream.Successions. A row that changes while turn runs is a Retry error.
func (c claims) Succeed(_ context.Context, instance string, turn func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error)) error {
	return c.l.call("succeed", func() error {
		w := c.l.W
		w.mu.Lock()
		var rows []*stream.Checkpoint
		for _, key := range slices.Sorted(maps.Keys(w.mu.rows)) {
			if r := w.mu.rows[key]; r.Task.Instance == instance {
				found := *r
				rows = append(rows, &found)
			}
		}
		w.mu.Unlock()
		replaced, fresh, err := turn(rows)
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for i, r := range rows {
			if now := w.mu.rows[r.Task.String()]; now.Epoch != r.Epoch || now.Owner != r.Owner {
				return stream.Mark(stream.Retry, fmt.Errorf("row %s has changed meanwhile", rows[i].Task))
			}
		}
		for _, cp := range fresh {
			if w.mu.rows[cp.Task.String()] != nil {
				return fmt.Errorf("succeed %s: task %s has a row already", instance, cp.Task)
			}
		}
		w.remember()
		for _, cp := range slices.Concat(replaced, fresh) {
			row := *cp
			row.Timeline = w.mu.timeline
			w.mu.rows[cp.Task.String()] = &row
		}
		return nil
	})
}

// Current implements stream.ClaimStore.
func (c claims) Current(_ context.Context, tasks []stream.TaskID) (rows []stream.Row, err error) {
	err = c.l.call("current", func() error {
		c.l.W.mu.Lock()
		defer c.l.W.mu.Unlock()
		for _, t := range tasks {
			row := stream.Row{}
			if r := c.l.W.mu.rows[t.String()]; r != nil {
				row = stream.Row{Epoch: r.Epoch, Owner: r.Owner, Timeline: r.Timeline}
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

// peers lists the rows of the tasks that differ from the task in the partition only. It must be called with the lock held.
func (w *World) peers(task stream.TaskID) (rows []*stream.Checkpoint) {
	for _, key := range slices.Sorted(maps.Keys(w.mu.rows)) {
		other := w.mu.rows[key].Task
		other.Partition.Number = task.Partition.Number
		if other == task {
			rows = append(rows, w.mu.rows[key])
		}
	}
	return rows
}

// PeerRecords implements stream.Peers.
func (c claims) PeerRecords(_ context.Context, task stream.TaskID) (records [][]byte, err error) {
	err = c.l.call("peers", func() error {
		c.l.W.mu.Lock()
		defer c.l.W.mu.Unlock()
		for _, r := range c.l.W.peers(task) {
			if r.Epoch > 0 {
				records = append(records, slices.Clone(r.Record))
			}
		}
		return nil
	})
	return records, err
}

// PeerKeys implements stream.Peers.
func (c claims) PeerKeys(_ context.Context, task stream.TaskID) (map[int32][]byte, error) {
	keys := map[int32][]byte{}
	err := c.l.call("peers", func() error {
		c.l.W.mu.Lock()
		defer c.l.W.mu.Unlock()
		for _, r := range c.l.W.peers(task) {
			if body, ok := c.l.W.mu.keys[r.Task.String()]; ok {
				keys[r.Task.Partition.Number] = slices.Clone(body)
			}
		}
		return nil
	})
	return keys, err
}

// SaveKeys implements stream.Peers.
func (c claims) SaveKeys(_ context.Context, task stream.TaskID, keys []byte) error {
	return c.l.call("peers", func() error {
		c.l.W.mu.Lock()
		defer c.l.W.mu.Unlock()
		c.l.W.mu.keys[task.String()] = slices.Clone(keys)
		return nil
	})
}
