package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// A pipeline may declare what its source is keyed by; then a key's events are in one partition, and no task needs to know
// of others. Nobody guarantees it, so it is verified: each task keeps the keys with the lowest hashes that it has seen
// (bottom-k sampling: Broder, "On the resemblance and containment of documents", 1997), and a key in the samples of two
// partitions refutes the declaration. Up to keySampleSize keys a partition that finds every key; beyond, a source that is
// not keyed at all is found just as surely, since all partitions hold the same keys then, and a single stray key may not be.

const (
	keySampleSize = 1024
	keyRows       = 64 // looked at in each batch: a look costs more than the rest of the path
)

// Keyed declares that the rows which a step takes have keys, each in one partition.
type Keyed struct {
	Step    int   // index of the step
	Columns []int // of its rows: the key
}

// keySight is a key and where it was seen first.
type keySight struct {
	Hash   uint64 `json:"hash"`
	Offset int64  `json:"offset"`
	Key    string `json:"key"`
}

// keySample is what a task has seen. It belongs to its goroutine.
type keySample struct {
	of      *Keyed
	sights  []keySight // by hash
	changed bool       // since it was shown
	turn    int
	key     []byte
}

// look takes some rows of a batch, other ones each time.
func (k *keySample) look(b *stream.Batch) {
	if b.Phase != stream.Event {
		return
	}
	lo, n := 0, b.Len()
	if n > keyRows {
		k.turn++
		lo = k.turn * keyRows % (n - keyRows + 1)
		n = lo + keyRows
	}
	for i := lo; i < n; i++ {
		k.key = stream.AppendKey(k.key[:0], b, k.of.Columns, i)
		hash := stream.HashProducer(k.key)
		if len(k.sights) == keySampleSize && hash >= k.sights[keySampleSize-1].Hash {
			continue
		}
		at, found := slices.BinarySearchFunc(k.sights, hash, byHash)
		if found {
			continue
		}
		k.sights = slices.Insert(k.sights, at, keySight{Hash: hash, Offset: b.Offset[i], Key: keyText(b, k.of.Columns, i)})
		k.sights = k.sights[:min(len(k.sights), keySampleSize)]
		k.changed = true
	}
}

func byHash(s keySight, hash uint64) int { return cmp.Compare(s.Hash, hash) }

// keyText is the key for people.
func keyText(b *stream.Batch, columns []int, i int) string {
	var parts []string
	for _, c := range columns {
		parts = append(parts, fmt.Sprintf("%s=%v", b.Schema.Fields[c].Name, b.Cols[c].Value(i)))
	}
	return strings.Join(parts, ", ")
}

// show hands out a copy if the sample has changed.
func (k *keySample) show(to *status) {
	if k != nil && k.changed {
		sights := slices.Clone(k.sights)
		to.keys.Store(&sights)
		k.changed = false
	}
}

// mergeSights is the sample of what either has seen.
func mergeSights(a, b []keySight) []keySight {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(x, y keySight) int { return cmp.Compare(x.Hash, y.Hash) })
	all = slices.CompactFunc(all, func(x, y keySight) bool { return x.Hash == y.Hash })
	return all[:min(len(all), keySampleSize)]
}

// sharedKey finds a key of both.
func sharedKey(a []keySight, b []keyPlace) (x keySight, y keyPlace, ok bool) {
	for _, x := range a {
		if at, found := slices.BinarySearchFunc(b, x.Hash, func(p keyPlace, hash uint64) int { return cmp.Compare(p.Hash, hash) }); found {
			return x, b[at], true
		}
	}
	return x, y, false
}

// keyPlace is what matters of a peer's keySight: its text would cost an allocation.
type keyPlace struct {
	Hash   uint64 `json:"hash"`
	Offset int64  `json:"offset"`
}

// savedKeys is what a task's row says about its keys.
type savedKeys struct {
	body   []byte
	sights []keySight
}

// read decodes the row unless it is the one that is known.
func (s *savedKeys) read(body []byte) error {
	if bytes.Equal(body, s.body) {
		return nil
	}
	var sights []keySight
	if err := json.Unmarshal(body, &sights); err != nil {
		return err
	}
	s.body, s.sights = body, sights
	return nil
}

// verifyKeys compares the task's sample, if it has changed, with those of its peers. What earlier owners of the task have
// seen counts as well.
func verifyKeys(ctx context.Context, store stream.Peers, t *task) error {
	sights := t.status.keys.Load()
	if sights == nil || sights == t.verified {
		return nil
	}
	saved, err := t.saveKeys(ctx, store, *sights)
	if err != nil {
		return err
	}
	t.verified = sights
	mine := t.id.Partition.Number
	for _, other := range slices.Sorted(maps.Keys(saved)) {
		if other == mine {
			continue
		}
		var places []keyPlace
		if err := json.Unmarshal(saved[other], &places); err != nil {
			return fmt.Errorf("decode keys of partition %d of %s: %w", other, t.id, err)
		}
		if x, y, ok := sharedKey(t.saved.sights, places); ok {
			t.contradict(fmt.Sprintf("keyed_by does not hold: %s is in partition %d at offset %d and in partition %d at offset %d, so its "+
				"results are split; let the producers choose the partition by the key, or remove keyed_by", x.Key, mine, x.Offset, other, y.Offset))
			return nil
		}
	}
	return nil
}

// saveKeys adds the sample to the task's row, and returns the rows of all partitions as they are afterwards.
func (t *task) saveKeys(ctx context.Context, store stream.Peers, sights []keySight) (map[int32][]byte, error) {
	saved, err := store.PeerKeys(ctx, t.id)
	if err != nil {
		return nil, err
	}
	if body := saved[t.id.Partition.Number]; body != nil {
		if err := t.saved.read(body); err != nil {
			return nil, fmt.Errorf("decode keys of %s: %w", t.id, err)
		}
	}
	merged := mergeSights(t.saved.sights, sights)
	if slices.Equal(merged, t.saved.sights) {
		return saved, nil
	}
	body, err := json.Marshal(merged)
	if err != nil {
		return nil, fmt.Errorf("encode keys of %s: %w", t.id, err)
	}
	if err := store.SaveKeys(ctx, t.id, body); err != nil {
		return nil, err
	}
	t.saved = savedKeys{body, merged}
	return store.PeerKeys(ctx, t.id) // of two that save at the same time one sees the other
}

// contradict reports that the data does not fit what the pipeline declares. The task goes on: what it computes is right
// for its partition.
func (t *task) contradict(problem string) {
	t.status.mu.Lock()
	known := t.status.mu.now.Problem == problem
	t.status.mu.now.Problem = problem
	t.status.mu.Unlock()
	if !known {
		t.log.Error("configuration error", "problem", problem)
	}
}
