package engine

import (
	"context"

	"github.com/tidewatch/tidewatch/stream"
)

// claimer puts the claims of all tasks of a worker that are due together into one transaction. While a transaction is on
// its way, further claims gather for the next one, so no timer is needed. Safe for concurrent use.
type claimer struct {
	store stream.ClaimStore
	queue chan claim
}

type claim struct {
	checkpoint *stream.Checkpoint
	answer     chan answer
}

type answer struct {
	won bool
	err error
}

// maxClaims bounds one transaction.
const maxClaims = 256

func newClaimer(store stream.ClaimStore) *claimer {
	return &claimer{store: store, queue: make(chan claim, maxClaims)}
}

// run serves claims until ctx is done.
func (c *claimer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-c.queue:
			c.send(ctx, c.gather(first))
		}
	}
}

func (c *claimer) gather(first claim) []claim {
	batch := []claim{first}
	for len(batch) < maxClaims {
		select {
		case next := <-c.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (c *claimer) send(ctx context.Context, batch []claim) {
	checkpoints := make([]*stream.Checkpoint, len(batch))
	for i := range batch {
		checkpoints[i] = batch[i].checkpoint
	}
	won, err := c.store.Claim(ctx, checkpoints)
	for i := range batch {
		a := answer{err: err}
		if err == nil {
			a.won = won[i]
		}
		batch[i].answer <- a
	}
}

// claim waits for the answer to one claim. After an error it is unknown whether the claim was won: only the same bytes
// may be sent again.
func (c *claimer) claim(ctx context.Context, cp *stream.Checkpoint) (won bool, err error) {
	done := make(chan answer, 1)
	select {
	case c.queue <- claim{cp, done}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	select {
	case a := <-done:
		return a.won, a.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
