package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

// staleOwners stops workers at points of the commit until the group has given their partitions to others, and wakes them.
func staleOwners(ctx context.Context, r *run) error {
	if err := r.start(ctx, 3); err != nil {
		return err
	}
	part := func(i int) func(context.Context) error {
		return func(ctx context.Context) error {
			rng := r.rng(uint64(i))
			for range 2 {
				if err := r.nap(ctx, r.bed.Workers[i], pick(rng, commitPoints(), "pause"), 3*r.session); err != nil {
					return err
				}
				sleepUntil(ctx, time.Now().Add(time.Second)) // it claims with what it knows
			}
			return nil
		}
	}
	return together(ctx, r.produce, part(0), part(1), r.lead(2, 3, allPoints()))
}

// nap starts a worker that stops at a point, or a moment later, and wakes it after a while.
func (r *run) nap(ctx context.Context, w *bed.Worker, faults string, sleep time.Duration) error {
	w.Kill()
	r.killed()
	w.Env = r.environment(faults)
	if err := r.again(ctx, w); err != nil {
		return err
	}
	limit := time.Now().Add(3 * time.Second)
	for !stopped(w.Cmd.Process.Pid) && time.Now().Before(limit) && sleepUntil(ctx, time.Now().Add(20*time.Millisecond)) {
	}
	w.Signal(syscall.SIGSTOP)
	sleepUntil(ctx, time.Now().Add(sleep))
	w.Signal(syscall.SIGCONT)
	return ctx.Err()
}

// stopped reports whether a process was stopped by SIGSTOP.
func stopped(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, found := strings.Cut(string(text), ") ")
	return err == nil && found && strings.HasPrefix(rest, "T")
}

// comeAndGo lets a worker come, leave or die every second.
func comeAndGo(ctx context.Context, r *run) error {
	if err := r.start(ctx, 1); err != nil {
		return err
	}
	part := func(i int) func(context.Context) error {
		return func(ctx context.Context) error {
			rng := r.rng(uint64(i))
			sleepUntil(ctx, time.Now().Add(time.Duration(i)*time.Second))
			w, err := r.worker(ctx, "")
			if err != nil {
				return err
			}
			for range 4 {
				sleepUntil(ctx, time.Now().Add(time.Second+time.Duration(rng.IntN(1500))*time.Millisecond))
				if rng.IntN(2) == 0 {
					w.Signal(syscall.SIGTERM)
					<-w.Ended
				} else {
					w.Kill()
					r.killed()
				}
				sleepUntil(ctx, time.Now().Add(time.Duration(rng.IntN(1000))*time.Millisecond))
				if err := r.again(ctx, w); err != nil {
					return err
				}
			}
			return ctx.Err()
		}
	}
	return together(ctx, r.produce, part(0), part(1))
}

// lostReplies loses answers to claims, before and after they were carried out, and delays them.
func lostReplies(ctx context.Context, r *run) error {
	rng := r.rng(0)
	var faults []string
	for n := range 25 {
		faults = append(faults, fmt.Sprintf("claim.%s:%d=error", []string{"before", "after", "after"}[rng.IntN(3)], 3+4*n+rng.IntN(4)))
	}
	for range 2 {
		if _, err := r.worker(ctx, strings.Join(faults, ";")); err != nil {
			return err
		}
	}
	network := func(ctx context.Context) error {
		for range 8 {
			sleepUntil(ctx, time.Now().Add(400*time.Millisecond+time.Duration(rng.IntN(500))*time.Millisecond))
			r.lab.postgres.swallow(1 + rng.IntN(3))
			if rng.IntN(4) == 0 {
				r.lab.postgres.slow(time.Second)
				sleepUntil(ctx, time.Now().Add(1500*time.Millisecond))
				r.lab.postgres.slow(0)
			}
		}
		r.lab.postgres.calm()
		return ctx.Err()
	}
	crash := func(ctx context.Context) error {
		sleepUntil(ctx, time.Now().Add(3*time.Second))
		return r.lead(1, 4, commitPoints())(ctx)
	}
	return together(ctx, r.produce, network, crash)
}

// failures fails calls at all points, some hundred a run.
func failures(ctx context.Context, r *run) error {
	for i := range 2 {
		rng := r.rng(uint64(i))
		var faults []string
		for range 150 {
			faults = append(faults, pick(rng, failing(), "error"))
		}
		if _, err := r.worker(ctx, strings.Join(faults, ";")); err != nil {
			return err
		}
	}
	return r.produce(ctx)
}

// slowServers kills workers whose broker and Redis answer late, so that much is on its way when they die.
func slowServers(ctx context.Context, r *run) error {
	slow := func(ctx context.Context) error {
		sleepUntil(ctx, time.Now().Add(2*time.Second)) // the workers have joined
		r.lab.kafka.slow(60 * time.Millisecond)
		r.lab.redis.slow(60 * time.Millisecond)
		return nil
	}
	points := []point{{"claim", 30}, {"claim", 10}, {"put.snapshot", 20}, {"flush", 40}}
	err := together(ctx, func(ctx context.Context) error { return crashes(func() []point { return points }, 6)(ctx, r) }, slow)
	r.lab.kafka.calm()
	r.lab.redis.calm()
	return err
}

// awayFor is how long a server is away: longer than what any call waits by itself.
const awayFor = 20 * time.Second

// restarts kills two of the servers, and starts each again after a while in which events come. Before it comes back a worker dies
// that has long held what the server did not take.
func restarts(ctx context.Context, r *run) error {
	if err := r.start(ctx, 2); err != nil {
		return err
	}
	servers := []*testservers.Server{r.lab.S3.Server, r.lab.Redis.Server, r.lab.Postgres.Server, r.lab.Kafka.Server}
	rng := r.rng(0)
	rng.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	outages := func(ctx context.Context) error {
		for _, s := range servers[:2] {
			sleepUntil(ctx, time.Now().Add(1500*time.Millisecond))
			if err := s.Kill(); err != nil {
				return err
			}
			sleepUntil(ctx, time.Now().Add(awayFor))
			w := r.bed.Workers[0]
			w.Kill()
			r.killed()
			if err := s.Start(ctx); err != nil {
				return err
			}
			if err := r.again(ctx, w); err != nil {
				return err
			}
		}
		return nil
	}
	crash := func(ctx context.Context) error {
		sleepUntil(ctx, time.Now().Add(5*time.Second))
		return r.lead(1, 4, allPoints())(ctx)
	}
	return together(ctx, r.produce, outages, crash)
}

// networkFaults cuts, half-closes, refuses and slows the ways to all servers, and loses answers on them.
func networkFaults(ctx context.Context, r *run) error {
	if err := r.start(ctx, 2); err != nil {
		return err
	}
	part := func(i int, p *proxy) func(context.Context) error {
		return func(ctx context.Context) error {
			rng := r.rng(uint64(i))
			for range 8 {
				sleepUntil(ctx, time.Now().Add(time.Duration(300+rng.IntN(900))*time.Millisecond))
				switch rng.IntN(5) {
				case 0:
					p.cut()
				case 1:
					p.half()
				case 2:
					p.swallow(1 + rng.IntN(4))
				case 3:
					p.slow(time.Duration(rng.IntN(300)) * time.Millisecond)
				default:
					p.refuse(true)
					sleepUntil(ctx, time.Now().Add(500*time.Millisecond))
				}
				sleepUntil(ctx, time.Now().Add(300*time.Millisecond))
				p.calm()
			}
			return ctx.Err()
		}
	}
	return together(ctx, r.produce, part(0, r.lab.kafka), part(1, r.lab.redis), part(2, r.lab.postgres), part(3, r.lab.s3), r.lead(1, 5, allPoints()))
}

// failOver lets a standby take PostgreSQL's place that has not got what was claimed in the last second, while workers die.
func failOver(after time.Duration) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		return r.failOver(ctx, after, func(ctx context.Context) { sleepUntil(ctx, time.Now().Add(time.Second)) }, r.lead(1, 6, allPoints()))
	}
}

// failOverLast does so when everything was read, so that nothing is claimed any more by which a worker could learn of it.
func failOverLast(ctx context.Context, r *run) error {
	produced := make(chan struct{})
	r.load.after = func() { close(produced) }
	last := func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-produced:
			sleepUntil(ctx, time.Now().Add(time.Second))
		}
	}
	if err := r.failOver(ctx, r.load.over-time.Second, last, r.lead(1, 3, allPoints())); err != nil {
		return err
	}
	sleepUntil(ctx, time.Now().Add(lookEvery)) // until then a worker need not know
	return ctx.Err()
}

func (r *run) failOver(ctx context.Context, after time.Duration, lost func(context.Context), crash func(context.Context) error) error {
	if err := r.start(ctx, 2); err != nil {
		return err
	}
	standby, err := r.lab.Postgres.StartStandby(ctx)
	if err != nil {
		return err
	}
	lose := func(ctx context.Context) error {
		sleepUntil(ctx, time.Now().Add(after))
		if err := standby.Detach(ctx); err != nil {
			return err
		}
		lost(ctx)
		r.lab.postgres.refuse(true)
		if err := r.lab.Postgres.Kill(); err != nil {
			return err
		}
		if err := standby.Promote(ctx); err != nil {
			return err
		}
		r.lab.postgres.lead(standby.Address())
		r.lab.postgres.refuse(false)
		return nil
	}
	err = together(ctx, r.produce, lose, crash)
	before := r.lab.Postgres
	r.lab.Postgres = standby // of the runs to come, too
	return errors.Join(err, before.Close())
}

// emptied empties Redis in mid-run, twice.
func emptied(ctx context.Context, r *run) error {
	if err := r.start(ctx, 2); err != nil {
		return err
	}
	empty := func(ctx context.Context) error {
		for range 2 {
			sleepUntil(ctx, time.Now().Add(2500*time.Millisecond))
			if err := r.lab.flush(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	if err := together(ctx, r.produce, empty, r.lead(1, 5, allPoints())); err != nil {
		return err
	}
	if err := r.lab.flush(ctx); err != nil {
		return err
	}
	sleepUntil(ctx, time.Now().Add(lookEvery)) // until then a worker may call itself ready
	return ctx.Err()
}

// lookEvery is a little more than the time between two looks of a worker at its rows.
const lookEvery = 11 * time.Second

// applied lets a new version of the pipeline that re-keys follow the running one, while workers die.
func applied(ctx context.Context, r *run) error {
	if err := r.start(ctx, 2); err != nil {
		return err
	}
	apply := func(ctx context.Context) error {
		sleepUntil(ctx, time.Now().Add(3*time.Second))
		file := filepath.Join(r.dir, "next.yaml")
		text, err := os.ReadFile(filepath.Join(r.dir, "pipelines", "plain.yaml"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), "for: 10s", "for: 20s", 1)), 0o600); err != nil {
			return err
		}
		for {
			_, err = r.bed.Run(ctx, "pipeline", "apply", file, "--by", "crash", "--server", "http://"+r.bed.Workers[0].HTTP)
			if err == nil {
				close(r.applied)
				return nil
			}
			if ctx.Err() != nil || !strings.Contains(err.Error(), "refused") {
				return err
			}
			sleepUntil(ctx, time.Now().Add(200*time.Millisecond))
		}
	}
	return together(ctx, r.produce, apply, r.lead(1, 8, allPoints()))
}

// grow adds partitions to a topic, and returns when the producer knows them.
func (r *run) grow(ctx context.Context, topic string, partitions int32) error {
	answers, err := kadm.NewClient(r.bed.Client).UpdatePartitions(ctx, int(partitions), topic)
	if err != nil {
		return fmt.Errorf("grow %s: %w", topic, err)
	}
	if err := answers.Error(); err != nil {
		return fmt.Errorf("grow %s: %w", topic, err)
	}
	for ctx.Err() == nil {
		known, err := kadm.NewClient(r.bed.Client).ListTopics(ctx, topic)
		if err == nil && len(known[topic].Partitions) == int(partitions) {
			return r.bed.Produce(ctx)
		}
		sleepUntil(ctx, time.Now().Add(50*time.Millisecond))
	}
	return ctx.Err()
}

// noticed waits until tasks read the new partitions of the plain topic, and have said so to those that merge: in their first claim.
func (r *run) noticed(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, r.lab.Postgres.DSN(r.name))
	if err != nil {
		return fmt.Errorf("connect to the rows: %w", err)
	}
	defer conn.Close(ctx)
	for sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
		var claimed int32
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM tidewatch.tidewatch_tasks WHERE stage = 'fold' AND epoch > 0").Scan(&claimed); err != nil {
			return fmt.Errorf("count claims: %w", err)
		}
		tasks, err := r.bed.Tasks(ctx)
		if err != nil || claimed < r.load.grown { // a worker is being killed
			continue
		}
		var running int32
		for _, t := range tasks {
			if t.Pipeline == "plain" && t.Stage == "fold" && t.Partition >= r.load.partitions && t.State == "running" {
				running++
			}
		}
		if running == r.load.grown-r.load.partitions {
			return nil
		}
	}
	return ctx.Err()
}
