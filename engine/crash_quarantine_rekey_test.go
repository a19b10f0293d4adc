package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestCrashesWithPoisonAndRekeying is TestCrashesWithIdleTicks with records that make an operator of the first stage panic, but in
// lives that never claim: their partials are void once the record is quarantined, and what only they have shown is erased.
func TestCrashesWithPoisonAndRekeying(t *testing.T) {
	n := *histories
	switch {
	case n == 0 && testing.Short():
		n = 40
	case n == 0:
		n = 800
	}
	quarantined := 0
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			r := newPoisonedRekeyed(uint64(seed))
			r.run(t)
			if diff := r.check(); diff != "" {
				t.Fatalf("seed %d (run with -seed %d -histories 1): %s", seed, seed, diff)
			}
			quarantined += r.poison
		})
		if t.Failed() {
			return
		}
	}
	if n >= 500 && quarantined < n {
		t.Errorf("%d poisoned records in %d histories: they test little", quarantined, n)
	}
}

type poisonedRekeyed struct {
	*rekeyed
	poison int
}

func newPoisonedRekeyed(seed uint64) *poisonedRekeyed {
	r := &poisonedRekeyed{rekeyed: newRekeyed(seed)}
	r.longer = 30 * time.Second
	if seed%2 == 0 {
		r.idle, r.slow = 500*time.Millisecond, true
	}
	for p := range r.logs {
		for i := range len(r.logs[p]) - 3 { // the last three close all windows
			if r.rng.IntN(20) == 0 {
				if r.rng.IntN(3) == 0 {
					r.logs[p][i].key = "rare" // nobody else counts for it
				}
				r.logs[p][i].bad, r.logs[p][i].panics = false, poison
				r.poison++
			}
		}
	}
	return r
}

func (r *poisonedRekeyed) run(t *testing.T) {
	t.Helper()
	r.runWith(t, r.start)
}

func (r *poisonedRekeyed) start(faults streamtest.Plan) *process {
	immune := faults != nil && r.rng.IntN(3) == 0
	life := streamtest.NewLife(r.world, faults)
	p := r.plan(life)
	fold := p.Stages[0]
	fold.NewDecoder = func() (stream.Decoder, error) { return &rottenDecoder{immune: true}, nil }
	steps := fold.NewSteps
	fold.NewSteps = func(tc engine.TaskContext) ([]engine.Step, error) {
		s, err := steps(tc)
		return append([]engine.Step{{Name: "tasted", Operator: taster{immune}}}, s...), err
	}
	topics := map[string]int32{"events": rekeySources, "partials": rekeyMerges}
	var store stream.ClaimStore = watchedClaims{life.Claims(), r.ticks}
	if immune {
		store = mergeClaims{store}
	}
	return r.begin(life, topics, store, p)
}

// taster passes on what does not make it panic.
type taster struct{ immune bool }

func (o taster) Process(b *stream.Batch, out stream.Emitter) error {
	n := beforePoison(b)
	if o.immune || n == b.Len() {
		return out.Emit(b)
	}
	var before stream.Batch
	b.View(&before, 0, n)
	if err := out.Emit(&before); err != nil {
		return err
	}
	panic("poison")
}
func (taster) Advance(stream.Advance, stream.Emitter) error { return nil }
func (taster) Snapshot(*stream.StateWriter) error           { return nil }
func (taster) Restore(*stream.StateReader) error            { return nil }

// mergeClaims loses the claims of first stages.
type mergeClaims struct{ stream.ClaimStore }

// Claim implements stream.ClaimStore.
func (c mergeClaims) Claim(ctx context.Context, all []*stream.Checkpoint) ([]bool, error) {
	var merges []*stream.Checkpoint
	for _, cp := range all {
		if cp.Task.Stage == "merge" {
			merges = append(merges, cp)
		}
	}
	if len(merges) == len(all) {
		return c.ClaimStore.Claim(ctx, all)
	}
	if len(merges) > 0 {
		if _, err := c.ClaimStore.Claim(ctx, merges); err != nil {
			return nil, err
		}
	}
	return nil, stream.Mark(stream.Retry, errors.New("the claim of a first stage is lost"))
}

func (r *poisonedRekeyed) check() string {
	row := int64(0)
	for _, cp := range r.world.Rows() {
		var rec stream.Record
		if err := json.Unmarshal(cp.Record, &rec); err != nil {
			return err.Error()
		}
		row += rec.Generation
		if rec.Ledger[stream.BucketQuarantined] != rec.Generation {
			return fmt.Sprintf("%s: ledger %v in generation %d", cp.Task, rec.Ledger.Map(), rec.Generation)
		}
	}
	if row != int64(r.poison) {
		return fmt.Sprintf("%d generations with %d quarantined records", row, r.poison)
	}
	for p := range r.logs {
		for i := range r.logs[p] {
			r.logs[p][i].bad = r.logs[p][i].bad || r.logs[p][i].panics != ""
		}
	}
	return r.rekeyed.check()
}
