package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// takeOver makes this task the owner of its row, restores the snapshot that the row names, and replays up to the version
// of the row. Until then it claims nothing. What is decided in the replay is in the store already, files are staged or
// visible; live outputs are sent again. Receipts that the row carries are revealed at once, beside the replay.
func (t *task) takeOver(ctx context.Context) error {
	t.owner = newOwner()
	var cp *stream.Checkpoint
	err := again(ctx, t.deps.Clock, t.log, "take over row", func(ctx context.Context) (err error) {
		cp, err = t.deps.Store.TakeOver(ctx, t.id, t.owner)
		return err
	})
	if err != nil {
		return err
	}
	t.taken = true
	rec, err := decodeRecord(cp)
	if err != nil {
		return err
	}
	t.met = rec.At.Offset
	if err := t.isolate(ctx, cp, rec); err != nil {
		return err
	}
	if err := t.open(ctx, cp, rec); err != nil {
		return err
	}
	if err := t.replay(ctx, rec); err != nil {
		return fmt.Errorf("replay from offset %d to %d: %w", rec.Snapshot.At.Offset, rec.At.Offset, err)
	}
	return t.arrive(ctx, cp, rec)
}

func newOwner() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// open builds the lane and restores the snapshot, starts the committer with what the row carries, and opens the reader.
func (t *task) open(ctx context.Context, cp *stream.Checkpoint, rec *stream.Record) error {
	first := rec.First
	if cp.Epoch == 0 {
		if err := t.refuseRecreated(ctx); err != nil {
			return err
		}
		err := again(ctx, t.deps.Clock, t.log, "ask for the log's start", func(ctx context.Context) (err error) {
			first, err = t.deps.Source.LogStart(ctx, t.id.Partition)
			return err
		})
		if err != nil {
			return err
		}
		rec.At, rec.Snapshot.At = stream.Version{Offset: first}, stream.Version{Offset: first}
		rec.First = first
	}
	if err := t.meetTimeline(ctx, cp, rec); err != nil {
		return err
	}
	parts, err := t.deps.Source.Partitions(ctx, t.id.Partition.Topic)
	if err != nil {
		return err
	}
	tc := TaskContext{Task: t.id, Partitions: parts, Clock: t.deps.Clock, Stage: t.stage, Fresh: rec.At.Offset == rec.First, Generation: rec.Generation}
	if t.dead, err = t.deps.NewDeadLetters(tc); err != nil {
		return err
	}
	tc.Park = t.park
	if t.stage.Internal != "" {
		if tc.Internal, err = t.deps.NewInternal(tc); err != nil {
			return err
		}
	}
	if t.lane, err = newLane(ctx, t.stage, tc, first); err != nil {
		return err
	}
	t.lane.onReject, t.lane.inherited = t.dead.Write, t.inherited
	keep := named(rec) // as the row does, whichever snapshot is used
	loaded, err := t.restore(ctx, rec)
	if err != nil {
		return err
	}
	if t.moved { // whoever lost the row may have counted its slices as garbage: the next epoch names others
		loaded = &layers{}
	}
	t.setAside(rec)
	t.startCommitter(ctx, cp, rec, loaded)
	t.collectOlder(ctx, rec, keep)
	decoder, err := t.lane.newDecoder()
	if err != nil {
		return err
	}
	if t.journal != nil {
		decoder = &journalled{decoder, t}
	}
	t.reader, err = t.deps.Source.Open(ctx, t.id.Partition, t.lane.at.Offset, decoder)
	return err
}

// refuseRecreated: state that belongs to a deleted topic is not dropped silently.
func (t *task) refuseRecreated(ctx context.Context) error {
	store, ok := t.deps.Store.(stream.Predecessors)
	if !ok {
		return nil
	}
	var rows []string
	err := again(ctx, t.deps.Clock, t.log, "look for earlier rows", func(ctx context.Context) (err error) {
		rows, err = store.Predecessors(ctx, t.id)
		return err
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	return fmt.Errorf("topic %s was deleted and created again: the state of this task belongs to the old one (row %s). Nothing is reset "+
		"silently: to begin anew with the present topic, give the pipeline another name", t.id.Partition.Topic, rows[0])
}

func (t *task) startCommitter(ctx context.Context, cp *stream.Checkpoint, rec *stream.Record, loaded *layers) {
	t.commit = &committer{
		t: t, checkpoint: *cp, rec: *rec, layers: loaded, left: rec.Staged, sinks: map[string]stream.Sink{}, behind: map[string]bool{},
		queue: make(chan *capture, 1), outcomes: make(chan outcome, 4), idle: make(chan struct{}),
	}
	for _, o := range t.lane.chain.outputs {
		t.commit.sinks[o.Name] = o.Sink
	}
	t.commit.unrevealed.Store(int64(len(rec.Staged)))
	go t.commit.run(ctx) // close waits for it
}

// collectOlder hands to the collector what earlier owners left behind: objects of this task below the row's version that
// the row does not name. None of them can be named again.
func (t *task) collectOlder(ctx context.Context, rec *stream.Record, keep []string) {
	var garbage []string
	err := t.deps.Objects.List(ctx, taskPrefix(t.id), func(o stream.Object) error {
		rest := strings.TrimPrefix(o.Key, taskPrefix(t.id))
		dir, name, ok := strings.Cut(rest, "/")
		if dir == copiesFolder && name <= rec.At.Hex() {
			garbage = append(garbage, o.Key)
		}
		if !ok || dir == copiesFolder || dir > rec.At.Hex() && !strings.HasPrefix(dir, rec.At.Hex()) {
			return nil
		}
		prefix := taskPrefix(t.id) + dir + "/"
		if strings.HasSuffix(dir, "-"+t.owner) || contains(keep, prefix) || contains(garbage, prefix) {
			return nil
		}
		garbage = append(garbage, prefix)
		return nil
	})
	if err != nil {
		t.log.Warn("listing old objects failed; they stay until the next take-over", "task", t.id.String(), "error", err)
	}
	t.deps.collector.schedule(garbage)
}

func contains(list []string, s string) bool {
	return slices.Contains(list, s)
}

// replay does again what the record claims: records up to its offset, and its control records at their versions.
func (t *task) replay(ctx context.Context, rec *stream.Record) error {
	l := t.lane
	l.chain.muted = true
	defer func() { l.chain.muted = false }()
	if t.journal != nil {
		defer func() { t.journal.replaying, t.journal.passed = false, l.passed }()
	}
	for _, k := range rec.Controls {
		if k.At.Compare(l.at) <= 0 {
			continue // part of the snapshot
		}
		if err := t.replayTo(ctx, k.At.Offset); err != nil {
			return err
		}
		if err := t.apply(ctx, &k); err != nil {
			return err
		}
	}
	return t.replayTo(ctx, rec.At.Offset)
}

// replayTo reads up to the offset. An input that goes beyond it stays in the lane and is worked off later.
func (t *task) replayTo(ctx context.Context, offset int64) error {
	l := t.lane
	for l.at.Offset < offset {
		if l.in == nil {
			in, err := t.reader.Read(ctx)
			if err != nil {
				return err
			}
			if in.Next == in.From {
				continue
			}
			t.end = in.End
			t.deps.Observer.Fetched(t.id, in.Next-in.From)
			if err := l.give(in); err != nil {
				return err
			}
		}
		limit, err := t.begin(ctx, offset)
		if err != nil {
			return err
		}
		why, err := l.run(ctx, limit)
		if err != nil {
			return err
		}
		if err := t.done(ctx); err != nil {
			return err
		}
		l.chain.relieve(stream.Epoch{At: l.at})
		if why == exhausted {
			l.in = nil
		}
	}
	return nil
}

// arrive checks that the replay led to what was claimed, and begins to run.
func (t *task) arrive(ctx context.Context, cp *stream.Checkpoint, rec *stream.Record) error {
	l := t.lane
	if ledger := l.chain.ledger(); cp.Epoch > 0 && (ledger != rec.Ledger || l.at != rec.At) {
		return fmt.Errorf("the replay arrived at %v with ledger %v, but %v with %v was claimed", l.at, ledger.Map(), rec.At, rec.Ledger.Map())
	}
	if cp.Epoch > 0 {
		e := stream.Epoch{At: l.at, Mark: rec.Mark, RecordMark: rec.RecordMark, Ledger: rec.Ledger, Prefix: objectPrefix(t.id, l.at, t.owner)}
		for _, o := range l.chain.outputs {
			o.Sink.Stage(e) // parts up to here are staged or visible: the work is dropped
		}
	}
	if l.gaps = (stream.Gaps{}); rec.Gaps != nil {
		l.gaps = *rec.Gaps // as the log was when it was read first: it may have been compacted since
	}
	now := t.deps.Clock.Now()
	t.claimed, t.claimedMark, t.snapshotAt = rec.At, rec.Mark, rec.Snapshot.At
	t.lastEpoch, t.lastSnapshot, t.lastPublish, t.lastData = now, now, now, now
	if t.moved || t.fellBack { // whoever lost the row may have counted its snapshot as garbage: the next epoch names another
		t.lastSnapshot = time.Time{}
	}
	t.status.start(t, cp)
	if err := t.complete(ctx, rec.Control); err != nil {
		return err
	}
	if t.moved && rec.Control == nil { // what this owner has fixed is claimed before anything else: the first offset, the frontier
		if err := t.capture(ctx, t.stage.Cut != nil || cp.Epoch > 0, nil); err != nil {
			return err
		}
		if err := t.settle(ctx); err != nil {
			return err
		}
	}
	if err := t.reclaim(ctx); err != nil || l.in == nil {
		return err
	}
	err := t.workOff(ctx)
	l.in = nil
	return err
}

// complete lets the control record take effect that the owner before has claimed last, nil if it was none.
func (t *task) complete(ctx context.Context, k *stream.Control) error {
	if k == nil {
		return nil
	}
	if err := t.keep(ctx, k); err != nil {
		return err
	}
	if err := t.apply(ctx, k); err != nil {
		return err
	}
	return t.captureControl(ctx)
}
