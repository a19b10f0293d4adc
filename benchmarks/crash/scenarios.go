package main

import (
	"context"
	"slices"
	"time"
)

// scenario is a row of the table "What must survive" of docs/design/engine.md, or a part of one, played with real processes.
type scenario struct {
	name    string
	row     string // of the table
	short   bool   // is in the bounded form
	heavy   bool   // kills more a minute than most
	prepare func(r *run)
	play    func(ctx context.Context, r *run) error // ends with workers that run without faults, and everything produced
	settled bool                                    // play waits for the workers itself, and drains them
}

// Rows that have several scenarios.
const (
	anyPoint  = "worker crash at any point of the loop and of steps 1-7"
	badRecord = "record that panics an operator or exhausts memory"
	failsOver = "Postgres fails over and loses its last second"
)

// scenarios is the table of all of them.
func scenarios() []scenario { return slices.Concat(workerScenarios(), serverScenarios()) }

// workerScenarios are about workers that die, and about what they read.
func workerScenarios() []scenario {
	return []scenario{
		{name: "worker-crash", row: anyPoint, short: true, heavy: true, play: crashes(allPoints, 8)},
		{name: "crash-between-steps", row: "crash between upload and claim, claim and reveal, in mid-reveal", short: true, heavy: true, play: crashes(commitPoints, 8)},
		{name: "crash-in-takeover", row: anyPoint, heavy: true, play: crashes(arrivalPoints, 10)},
		{name: "stale-owner", row: "stale owner (paused 5 min, wakes)", short: true, prepare: shortSessions, play: staleOwners},
		{name: "rebalance", row: "rebalance in mid-window; a worker joins and leaves every few seconds", prepare: shortSessions, play: comeAndGo},
		{name: "claim-reply-lost", row: "reply of a claim lost; claim delayed for minutes", short: true, play: lostReplies},
		{
			name: "future-timestamp", row: "future timestamp, clock skew", play: crashes(allPoints, 6),
			prepare: func(r *run) { r.load.wild = 601 },
		},
		{name: "idle-partition", row: "idle partition, idle topic", short: true, prepare: idle, play: crashes(controlPoints, 7)},
		{name: "partitions-grow", row: "partition count grows while running", prepare: growing, play: crashes(allPoints, 7)},
		{
			name: "keyed-topic-grows", row: "partition count grows while running", prepare: growingKeyed, play: contradicted, settled: true,
		},
		{
			name: "undecodable-record", row: "record that does not decode", play: crashes(letterPoints, 7),
			prepare: func(r *run) { r.load.bad = 0.2 },
		},
		{name: "panicking-record", row: badRecord, short: true, prepare: panics, play: crashes(allPoints, 7)},
		{name: "killing-record", row: badRecord, prepare: kills, play: mended, settled: true},
		{name: "refused-row", row: "sink rejects a row", short: true, prepare: narrowed, play: parked, settled: true},
		{name: "state-budget", row: "state larger than its budget", prepare: crowdedWindows, play: crashes(allPoints, 7)},
		{name: "hot-key", row: "hot key", play: crashes(allPoints, 6), prepare: func(r *run) { r.load.hot = 0.9 }},
	}
}

// serverScenarios are about servers and their contents, and versions.
func serverScenarios() []scenario {
	return []scenario{
		{name: "calls-fail", row: "slow or failing sink", play: failures},
		{name: "slow-servers", row: "slow or failing sink", play: slowServers},
		{
			name: "dependency-away", row: "object store, Redis or Postgres away for 10 min", play: restarts,
			prepare: func(r *run) { r.load.over = 40 * time.Second },
		},
		{name: "network-faults", row: "object store, Redis or Postgres away for 10 min", play: networkFaults},
		{
			name: "postgres-failover", row: failsOver, short: true, play: failOver(4 * time.Second),
			prepare: func(r *run) { r.lossy, r.load.over = true, 12*time.Second },
		},
		{
			name: "failover-when-idle", row: failsOver, play: failOver(7500 * time.Millisecond),
			prepare: func(r *run) {
				idle(r)
				r.lossy, r.load.over = true, 12*time.Second
			},
		},
		{
			name: "failover-at-the-end", row: failsOver, play: failOverLast,
			prepare: func(r *run) { r.lossy = true },
		},
		{name: "redis-emptied", row: "Redis emptied", short: true, play: emptied},
		{
			name: "topic-recreated", row: "topic recreated or offsets truncated under the checkpoint", play: recreated, settled: true,
			prepare: func(r *run) { r.load.over = 3 * time.Second },
		},
		{
			name: "offsets-truncated", row: "topic recreated or offsets truncated under the checkpoint", play: truncated, settled: true,
			prepare: func(r *run) { r.load.over = 3 * time.Second },
		},
		{name: "new-version", row: "new pipeline version", short: true, prepare: versions, play: applied},
	}
}

func commitPoints() []point  { return stepPoints }
func arrivalPoints() []point { return takeoverPoints }

// controlPoints are those around a control record, half of them the claim that holds it: there is but a tick or two in a run.
func controlPoints() []point {
	return slices.Concat(slices.Repeat([]point{{"control", 1}}, len(stepPoints)), stepPoints, []point{{"takeover", 14}, {"replay", 20}})
}

func letterPoints() []point {
	return append(slices.Clone(loopPoints), point{"deadletter.write", 200}, point{"deadletter.flush", 60}, point{"claim", 40})
}

func shortSessions(r *run) { r.session = 2 * time.Second }

// idle lets everything fall silent in mid-run, for longer than idle_after.
func idle(r *run) {
	r.idle, r.loose = "1s", true
	r.load.pauseAt = r.load.events / 2
	r.load.pause = func(ctx context.Context) error {
		sleepUntil(ctx, time.Now().Add(4*time.Second))
		return ctx.Err()
	}
}

// versions lets half of the events come when the new version runs: the old one ends with them.
func versions(r *run) {
	r.loose, r.versions, r.applied = true, true, make(chan struct{})
	r.load.pauseAt = r.load.events / 2
	r.load.pause = func(ctx context.Context) error {
		select {
		case <-r.applied:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
}

// growing gives the topic that nobody keys two more partitions in mid-run. Event time passes a hundred times as fast as the clock
// here, so events come on when the workers have noticed: else those of the first second were late.
func growing(r *run) {
	r.loose, r.load.grown, r.load.pauseAt = true, 6, r.load.events/2
	r.load.pause = func(ctx context.Context) error {
		if err := r.grow(ctx, r.plain, r.load.grown); err != nil {
			return err
		}
		return r.noticed(ctx)
	}
}

// growingKeyed gives the keyed topic two more, so that most keys move.
func growingKeyed(r *run) {
	r.loose, r.load.keyedGrown, r.load.pauseAt = true, 6, r.load.events/2
	r.load.pause = func(ctx context.Context) error { return r.grow(ctx, r.keyed, r.load.keyedGrown) }
}

// crashes kills two workers at the points, lives times each, while events come.
func crashes(points func() []point, lives int) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		if err := r.start(ctx, 2); err != nil {
			return err
		}
		if r.short {
			lives /= 2
		}
		return together(ctx, r.produce, r.lead(0, lives, points()), r.lead(1, lives, points()))
	}
}

// lead kills a worker that runs, at once and then at points.
func (r *run) lead(i, lives int, points []point) func(context.Context) error {
	return func(ctx context.Context) error {
		if !sleepUntil(ctx, time.Now().Add(time.Duration(300+700*i)*time.Millisecond)) {
			return ctx.Err()
		}
		w := r.bed.Workers[i]
		w.Kill()
		r.killed()
		return r.live(ctx, w, deaths(r.rng(uint64(i)), lives-1, points))
	}
}

// killed counts a kill from outside.
func (r *run) killed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kills++
}
