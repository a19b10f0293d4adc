package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tidewatch/tidewatch/stream"
)

// snapshotName is the object of a slice below the prefix of its epoch.
const snapshotName = "snapshot"

// upload puts what the object store does not hold of the captured state yet. The row may name it once it is claimed.
func (c *committer) upload(ctx context.Context, e *capture) (*stream.Snapshot, *layers, error) {
	key := e.prefix + snapshotName
	object, next := c.layers.add(e.state, key)
	if err := c.put(ctx, key, object); err != nil {
		return nil, nil, err
	}
	return &stream.Snapshot{At: e.at, Slices: next.slices, Size: int64(len(e.state.data))}, next, nil
}

// oldest is the snapshot that a recovery may have to go back to.
func oldest(rec *stream.Record) *stream.Snapshot {
	if rec.Previous != nil {
		return rec.Previous
	}
	return &rec.Snapshot
}

// restore loads the newest snapshot. If that is damaged it goes back to the one before, as long as everything since then can be
// replayed: the row lists the control records, the log has to hold the rest. Otherwise it is fatal: the row promises the snapshot.
func (t *task) restore(ctx context.Context, rec *stream.Record) (*layers, error) {
	loaded, err := t.restoreFrom(ctx, rec, &rec.Snapshot)
	if !errors.Is(err, errDamaged) || rec.Previous == nil {
		return loaded, err
	}
	before := *rec.Previous
	var start int64
	if again := again(ctx, t.deps.Clock, t.log, "ask for the log's start", func(ctx context.Context) (err error) {
		start, err = t.deps.Source.LogStart(ctx, t.id.Partition)
		return err
	}); again != nil {
		return nil, errors.Join(err, again)
	}
	if start > before.At.Offset {
		return nil, fmt.Errorf("%w. The snapshot before it is of offset %d and of no use: the log begins at offset %d by now", err, before.At.Offset, start)
	}
	t.log.Error("a snapshot is damaged: going on from the one before it", "task", t.id.String(), "error", err, "offset", before.At.Offset)
	rec.Snapshot, rec.Previous, t.fellBack = before, nil, true
	return t.restoreFrom(ctx, rec, &rec.Snapshot)
}

func (t *task) restoreFrom(ctx context.Context, rec *stream.Record, from *stream.Snapshot) (*layers, error) {
	if len(from.Slices) == 0 {
		return &layers{}, nil
	}
	r, loaded, err := t.load(ctx, from.Slices)
	if err != nil {
		return nil, fmt.Errorf("load the snapshot of offset %d: %w", from.At.Offset, err)
	}
	if err := t.lane.restore(r); err != nil {
		return nil, fmt.Errorf("restore the snapshot of offset %d: %w", from.At.Offset, err)
	}
	if t.lane.at != from.At || t.lane.first != rec.First {
		return nil, fmt.Errorf("restore the snapshot of offset %d: it holds version %v, the row says %v", from.At.Offset, t.lane.at, from.At)
	}
	t.lane.stateBytes = int(from.Size)
	return loaded, nil
}

// inherited loads the snapshot of the version of the pipeline before.
func (t *task) inherited(ctx context.Context, i *stream.Inheritance) (*stream.StateReader, error) {
	r, _, err := t.load(ctx, i.Slices)
	return r, err
}

// load gets the slices of a snapshot and checks them.
func (t *task) load(ctx context.Context, named []stream.Slice) (*stream.StateReader, *layers, error) {
	objects := make([][]byte, len(named))
	for i, s := range named {
		err := again(ctx, t.deps.Clock, t.log, "get snapshot", func(ctx context.Context) (err error) {
			objects[i], err = t.deps.Objects.Get(ctx, s.Object)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, damaged(s, "it is missing, though the task's row names it")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("get object %s: %w", s.Object, err)
		}
	}
	data, loaded, err := compose(named, objects)
	if err != nil {
		return nil, nil, err
	}
	r, err := stream.NewStateReader(data)
	if err != nil {
		return nil, nil, damaged(named[len(named)-1], "%v", err)
	}
	return r, loaded, nil
}
