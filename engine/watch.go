package engine

import (
	"context"
	"encoding/json"

	"github.com/tidewatch/tidewatch/stream"
)

// watch looks at the rows now and then: a task with nothing to claim would never learn that it was overtaken, and tasks
// must know something of their peers on other workers.
func (r *Runner) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.deps.Clock.After(r.deps.WatchEvery):
		}
		tasks := r.attempts()
		r.display(tasks)
		var mine []*task
		for _, t := range tasks {
			if _, ok := t.status.row(); ok {
				mine = append(mine, t)
			}
		}
		if len(mine) == 0 {
			continue
		}
		if err := r.look(ctx, mine); err != nil && ctx.Err() == nil {
			r.deps.Log.Debug("looking at the rows failed; the claims report what is wrong", "error", err)
		}
	}
}

func (r *Runner) look(ctx context.Context, mine []*task) error {
	var ids []stream.TaskID
	own := make([]stream.Row, len(mine)) // as of before the question: a claim may be answered meanwhile
	for i, t := range mine {
		ids = append(ids, t.id)
		own[i], _ = t.status.row()
	}
	rows, err := r.deps.Store.Current(ctx, ids)
	if err != nil {
		return err
	}
	for i, t := range mine {
		// A lower epoch is what a fail-over has left, which a task that has nothing to claim would not notice.
		if r := rows[i]; r.Owner != own[i].Owner || r.Timeline != own[i].Timeline || r.Epoch < own[i].Epoch {
			t.overtaken.Store(true)
		}
	}
	store, ok := r.deps.Store.(stream.Peers)
	if !ok {
		return nil
	}
	asked := map[*Stage]bool{}
	for _, t := range mine {
		if err := verifyKeys(ctx, store, t); err != nil {
			return err
		}
		if asked[t.stage] || t.status.get().Mark != stream.NoTime {
			continue
		}
		asked[t.stage] = true
		if err := r.askPeers(ctx, store, t); err != nil {
			return err
		}
	}
	return nil
}

// askPeers learns how far the stage has got elsewhere, for a task that has never had a record.
func (r *Runner) askPeers(ctx context.Context, store stream.Peers, t *task) error {
	records, err := store.PeerRecords(ctx, t.id)
	if err != nil {
		return err
	}
	lowest := stream.MaxTime
	for _, body := range records {
		rec := stream.Record{Mark: stream.NoTime}
		if len(body) == 0 || json.Unmarshal(body, &rec) != nil || rec.Mark == stream.NoTime {
			continue
		}
		lowest = min(lowest, rec.Mark)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.peers[t.stage] = lowest
	return nil
}

// siblings is the lowest watermark that the tasks of the stage show, here or in their rows; NoTime if none shows one.
func (r *Runner) siblings(s *Stage) stream.Time {
	lowest := stream.MaxTime
	for _, t := range r.attempts() {
		if now := t.status.get(); t.stage == s && now.Mark != stream.NoTime {
			lowest = min(lowest, now.Mark)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if claimed, ok := r.mu.peers[s]; ok {
		lowest = min(lowest, claimed)
	}
	if lowest == stream.MaxTime {
		return stream.NoTime
	}
	return lowest
}

// display tells the source how far each partition is worked off: the lowest of its pipelines.
func (r *Runner) display(tasks []*task) {
	source, ok := r.deps.Source.(Displayer)
	if !ok {
		return
	}
	lowest := map[stream.Partition]int64{}
	for _, t := range tasks {
		now := t.status.get()
		if old, ok := lowest[t.id.Partition]; now.Epoch > 0 && (!ok || now.At.Offset < old) {
			lowest[t.id.Partition] = now.At.Offset
		}
	}
	for p, offset := range lowest {
		source.CommitForDisplay(p, offset)
	}
}
