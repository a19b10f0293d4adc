package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Succession is how a new version of a pipeline follows the old one: both run, windows that start before the cut belong to
// the old one and all others to the new one. The cut is above the marks of everything that the old one has claimed, and is
// claimed for all its tasks in one transaction, so it does not matter which workers run them, or whether any does.
type Succession struct {
	Old, New *Plan
	// Every is the distance of the times that the windows of both versions begin at: the cut is one of them.
	Every time.Duration
	// Inherit lists the steps of the new version whose state means the same as that of a step of the old one.
	Inherit []Heirloom
	// Partitions is the number of partitions that the old version reads events from.
	Partitions int
	// Internal are the partitions of the topic between the stages of the new version, if it has two.
	Internal []stream.Partition
	Objects  stream.Objects

	Cut stream.Time // set by Begin
}

// Heirloom is a step of the new version and where its state is in a snapshot of the old one.
type Heirloom struct {
	Stage, Step string
	From        int // index of the step in the stage of the old version that has the same name
	FromStep    string
}

// ErrNotReady says that the old version has to get further first: the same call succeeds a little later.
var ErrNotReady = errors.New("the old version is not ready")

// Begin claims the cut, and gives the tasks of the new version their rows. It may be called again after an error; a caller
// that does not know whether it has succeeded looks for the rows of the new version.
func (s *Succession) Begin(ctx context.Context, store stream.Successions) error {
	err := store.Succeed(ctx, s.Old.Instance, func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error) {
		return s.turn(ctx, rows)
	})
	if err != nil {
		return fmt.Errorf("begin %s behind %s: %w", s.New.Instance, s.Old.Instance, err)
	}
	return nil
}

// turn decides what Succeed writes.
func (s *Succession) turn(ctx context.Context, rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error) {
	if err := s.complete(rows); err != nil {
		return nil, nil, err
	}
	records := make([]*stream.Record, len(rows))
	highest := stream.NoTime
	for i, row := range rows {
		if records[i], err = decodeRecord(row); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", row.Task, err)
		}
		switch {
		case row.Epoch == 0:
			return nil, nil, fmt.Errorf("%w: %s has claimed nothing yet", ErrNotReady, row.Task)
		case records[i].Timeline != row.Timeline || records[i].Frontier != nil:
			return nil, nil, fmt.Errorf("%w: %s has not got over a fail-over of the store yet", ErrNotReady, row.Task)
		case records[i].Control != nil:
			return nil, nil, fmt.Errorf("%w: a control record of %s has not taken effect yet", ErrNotReady, row.Task)
		}
		highest = max(highest, records[i].Mark)
	}
	s.Cut = s.cut(highest)
	owner := "cut-" + newOwner()
	for i, row := range rows {
		claim, err := end(row, records[i], owner, s.Cut)
		if err != nil {
			return nil, nil, err
		}
		claims = append(claims, claim)
	}
	fresh, err = s.begin(ctx, rows, records)
	return claims, fresh, err
}

// complete checks that every task of the old version has a row: one without would know of no cut.
func (s *Succession) complete(rows []*stream.Checkpoint) error {
	want := map[string]int{s.Old.Stages[0].Name: s.Partitions}
	if first := s.Old.Stages[0]; first.Internal != "" {
		want[s.Old.Stages[1].Name] = int(first.InternalPartitions)
	}
	for _, row := range rows {
		want[row.Task.Stage]--
	}
	for _, stage := range s.Old.Stages {
		if n := want[stage.Name]; n > 0 {
			return fmt.Errorf("%w: %d tasks of stage %s have not started yet", ErrNotReady, n, stage.Name)
		}
	}
	return nil
}

// cut is above every event that any task has passed, but for those from the future that have not moved its mark.
func (s *Succession) cut(highest stream.Time) stream.Time {
	if highest == stream.NoTime {
		return 0 // nothing has come yet
	}
	ahead := time.Duration(0)
	for _, p := range []*Plan{s.Old, s.New} {
		ahead = max(ahead, p.Stages[0].Time.OutOfOrder)
	}
	above := highest.Add(ahead) + 1
	if at := above.Floor(s.Every); at == above {
		return at
	}
	return above.Floor(s.Every).Add(s.Every)
}

// end is the claim that a task of the old version begins no windows from the cut on.
func end(row *stream.Checkpoint, rec *stream.Record, owner string, cut stream.Time) (*stream.Checkpoint, error) {
	at := rec.At
	at.Step++
	next := *rec
	next.Control = &stream.Control{Kind: controlUntil, At: at, Cut: cut}
	claim := *row
	claim.Epoch, claim.Owner = row.Epoch+1, owner
	var err error
	claim.Record, err = encodeRecord(claim.Task, claim.Epoch, &next)
	return &claim, err
}

// begin makes the rows of the new version. Tasks that read events begin where the snapshots of the old ones are, so that they
// may go on with state from there; those of an internal topic at its beginning.
func (s *Succession) begin(ctx context.Context, rows []*stream.Checkpoint, records []*stream.Record) (fresh []*stream.Checkpoint, err error) {
	add := func(stage *Stage, p stream.Partition, first int64, old int) error {
		task := stream.TaskID{Instance: s.New.Instance, Stage: stage.Name, Partition: p}
		at := stream.Version{Offset: first}
		rec := stream.Record{At: at, Mark: stream.NoTime, RecordMark: stream.NoTime, First: first}
		rec.Snapshot.At = at
		rec.Control = &stream.Control{Kind: controlSince, At: stream.Version{Offset: first, Step: 1}, Cut: s.Cut}
		if old >= 0 {
			if rec.Control.Inherit, err = s.inherit(ctx, task, rec.Control.At, rows[old].Task.Stage, records[old]); err != nil {
				return err
			}
		}
		claim := &stream.Checkpoint{Task: task, Epoch: 1, Owner: "cut"}
		claim.Record, err = encodeRecord(task, claim.Epoch, &rec)
		fresh = append(fresh, claim)
		return err
	}
	for i, row := range rows {
		if row.Task.Stage != s.Old.Stages[0].Name {
			continue
		}
		if err := add(s.New.Stages[0], row.Task.Partition, records[i].Snapshot.At.Offset, i); err != nil {
			return nil, err
		}
	}
	last := s.New.Stages[len(s.New.Stages)-1]
	for _, p := range s.Internal {
		old := slices.IndexFunc(rows, func(row *stream.Checkpoint) bool {
			return row.Task.Stage == last.Name && row.Task.Partition.Number == p.Number
		})
		if err := add(last, p, 0, old); err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

// inherit copies the snapshot of the old task for the new one; nil if nothing in it is of use.
func (s *Succession) inherit(ctx context.Context, task stream.TaskID, at stream.Version, from string, rec *stream.Record) (*stream.Inheritance, error) {
	if len(rec.Snapshot.Slices) == 0 || task.Stage != from {
		return nil, nil
	}
	i := &stream.Inheritance{Steps: map[string]string{}}
	if o, n := s.Old.Stages[0], s.New.Stages[0]; task.Stage == n.Name {
		i.Marks = o.Time.OutOfOrder == n.Time.OutOfOrder && o.Time.MaxJump == n.Time.MaxJump
	}
	for _, h := range s.Inherit {
		if h.Stage == task.Stage {
			i.Steps[h.Step] = stepScope(h.From, h.FromStep)
		}
	}
	if len(i.Steps) == 0 && !i.Marks {
		return nil, nil
	}
	for n, slice := range rec.Snapshot.Slices {
		to := slice
		to.Object = fmt.Sprintf("%s%s-%d", objectPrefix(task, at, "inherited"), snapshotName, n)
		if err := s.Objects.Copy(ctx, slice.Object, to.Object); err != nil {
			return nil, fmt.Errorf("copy snapshot %s: %w", slice.Object, err)
		}
		i.Slices = append(i.Slices, to)
	}
	return i, nil
}
