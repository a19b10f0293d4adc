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
	if cache := c.t.deps.Cache; cache != nil {
		cache.Put(next.slices[len(next.slices)-1].Hash, object)
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

// Cache keeps copies of slices on this machine, by their hashes. It never fails: what it does not have is fetched. Implementations
// are safe for concurrent use.
type Cache interface {
	// Get returns the copy, nil if there is none. It may be damaged.
	Get(hash string) []byte
	// Put keeps a copy of object, which is not changed afterwards.
	Put(hash string, object []byte)
	// Drop forgets a copy.
	Drop(hash string)
}

// load gets the slices of a snapshot and checks them.
func (t *task) load(ctx context.Context, named []stream.Slice) (*stream.StateReader, *layers, error) {
	began := t.deps.Clock.Now()
	objects, fetched, err := t.gather(ctx, named, t.deps.Cache)
	if err != nil {
		return nil, nil, err
	}
	data, loaded, err := compose(named, objects)
	if errors.Is(err, errDamaged) && t.deps.Cache != nil { // it may be the copies that are damaged
		t.log.Warn("copies of a snapshot are damaged: fetching it", "task", t.id.String(), "error", err)
		for _, s := range named {
			t.deps.Cache.Drop(s.Hash)
		}
		if objects, fetched, err = t.gather(ctx, named, nil); err == nil {
			data, loaded, err = compose(named, objects)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := stream.NewStateReader(data)
	if err != nil {
		return nil, nil, damaged(named[len(named)-1], "%v", err)
	}
	if t.deps.Cache != nil {
		for i, s := range named {
			t.deps.Cache.Put(s.Hash, objects[i])
		}
	}
	t.log.Info("snapshot loaded", "bytes", len(data), "slices", len(named), "fetched_bytes", fetched,
		"seconds", t.deps.Clock.Now().Sub(began).Seconds())
	return r, loaded, nil
}

// gather gets the objects of the slices, where there is a cache those that it has from there.
func (t *task) gather(ctx context.Context, named []stream.Slice, cache Cache) (objects [][]byte, fetched int, err error) {
	objects = make([][]byte, len(named))
	for i, s := range named {
		if cache != nil {
			if objects[i] = cache.Get(s.Hash); objects[i] != nil {
				continue
			}
		}
		err := again(ctx, t.deps.Clock, t.log, "get snapshot", func(ctx context.Context) (err error) {
			objects[i], err = t.deps.Objects.Get(ctx, s.Object)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil, 0, damaged(s, "it is missing, though the task's row names it")
		}
		if err != nil {
			return nil, 0, fmt.Errorf("get object %s: %w", s.Object, err)
		}
		fetched += len(objects[i])
	}
	return objects, fetched, nil
}
