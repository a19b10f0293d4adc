package streamtest

import (
	"context"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
)

// journal is what the claim store of a world knows of deaths.
type journal struct {
	attempts map[string]int // by task, as in Postgres
	entries  map[string]journalEntry
	isolated struct {
		task, owner string
		until       time.Time
	}
}

type journalEntry struct {
	body        []byte
	begun, beat time.Time
}

func newJournal() journal {
	return journal{attempts: map[string]int{}, entries: map[string]journalEntry{}}
}

// takeOver counts, and tells how the owners before have ended. again: it is the same take-over once more.
func (j *journal) takeOver(task string, again bool) stream.Ended {
	if !again || j.attempts[task] == 0 {
		j.attempts[task]++
	}
	e := j.entries[task]
	return stream.Ended{
		Deaths: j.attempts[task] - 1, Entry: slices.Clone(e.body), Lasted: e.beat.Sub(e.begun),
		Isolation: j.isolated.task != "" && j.isolated.until.Add(stream.IsolationSeen).After(clock.System{}.Now()),
	}
}

// Entry is the journal's entry of a task, nil if there is none.
func (w *World) Entry(task stream.TaskID) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.journal.entries[task.String()].body)
}

// owns must be called with the lock held.
func (w *World) owns(task, owner string) bool {
	row := w.mu.rows[task]
	return row != nil && row.Owner == owner
}

// Release implements stream.Journal.
func (c claims) Release(_ context.Context, task stream.TaskID, owner string) error {
	return c.l.call("release", func() error {
		w := c.l.W
		w.mu.Lock()
		defer w.mu.Unlock()
		if j := &w.mu.journal; w.owns(task.String(), owner) {
			j.attempts[task.String()] = 0
			if j.isolated.task == task.String() && j.isolated.owner == owner {
				j.isolated.task = ""
			}
		}
		return nil
	})
}

// Note implements stream.Journal.
func (c claims) Note(_ context.Context, task stream.TaskID, owner string, entry []byte) (mine bool, err error) {
	err = c.l.call("note", func() error {
		w := c.l.W
		w.mu.Lock()
		defer w.mu.Unlock()
		if mine = w.owns(task.String(), owner); !mine {
			return nil
		}
		if entry == nil {
			delete(w.mu.journal.entries, task.String())
			return nil
		}
		now := clock.System{}.Now()
		w.mu.journal.entries[task.String()] = journalEntry{slices.Clone(entry), now, now}
		return nil
	})
	return mine, err
}

// Isolate implements stream.Journal.
func (c claims) Isolate(_ context.Context, task stream.TaskID, owner string) (alone, mine bool, err error) {
	err = c.l.call("isolate", func() error {
		w := c.l.W
		w.mu.Lock()
		defer w.mu.Unlock()
		i, now := &w.mu.journal.isolated, clock.System{}.Now()
		if mine = w.owns(task.String(), owner); !mine {
			return nil
		}
		if i.task == "" || i.task == task.String() && i.owner == owner || i.until.Before(now) || !w.owns(i.task, i.owner) {
			alone = true
			i.task, i.owner, i.until = task.String(), owner, now.Add(stream.IsolationLapse)
			if e, ok := w.mu.journal.entries[task.String()]; ok {
				e.beat = now
				w.mu.journal.entries[task.String()] = e
			}
		}
		return nil
	})
	return alone, mine, err
}
