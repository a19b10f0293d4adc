package main

import (
	"context"
	"time"
)

// scenario is a row of the table "What must survive" of docs/design/engine.md, or a part of one, played with real processes.
type scenario struct {
	name    string
	row     string // of the table
	short   int    // runs in the bounded form
	prepare func(r *run)
	play    func(ctx context.Context, r *run) error // ends with workers that run without faults, and everything produced
}

// scenarios is the table of all of them.
func scenarios() []scenario {
	return []scenario{
		{
			name: "worker-crash", row: "worker crash at any point of the loop and of steps 1-7", short: 2,
			play: crashes(allPoints, 8),
		},
		{
			name: "crash-between-steps", row: "crash between upload and claim, claim and reveal, in mid-reveal", short: 1,
			play: crashes(func() []point { return stepPoints }, 8),
		},
		{
			name: "crash-in-takeover", row: "worker crash at any point of the loop and of steps 1-7", short: 1,
			play: crashes(func() []point { return takeoverPoints }, 10),
		},
	}
}

// crashes kills two workers at the points, lives times each, while events come.
func crashes(points func() []point, lives int) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		if err := r.start(ctx, 2); err != nil {
			return err
		}
		lead := func(i int) func(context.Context) error {
			return func(ctx context.Context) error {
				if !sleepUntil(ctx, time.Now().Add(time.Duration(300+700*i)*time.Millisecond)) {
					return ctx.Err()
				}
				w := r.bed.Workers[i]
				w.Kill()
				r.killed()
				return r.live(ctx, w, killed(r.rng(uint64(i)), lives-1, points()))
			}
		}
		return together(ctx, r.produce, lead(0), lead(1))
	}
}

// killed counts a kill from outside.
func (r *run) killed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kills++
}
