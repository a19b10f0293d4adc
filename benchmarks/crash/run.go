package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// run is one run of a scenario: its topics, its workers, and what has happened to them.
type run struct {
	lab                *lab
	bed                *bed.Cluster
	name, dir          string
	seed               uint64
	load               load
	plain, keyed, late string        // topics
	idle               string        // idle_after of the pipelines
	session            time.Duration // of the consumer group; 0 is the usual
	lossy              bool          // PostgreSQL has lost claims whose files are visible
	versions           bool          // two versions of the pipeline that re-keys have read the same events
	applied            chan struct{} // closed when the second one is
	loose              bool          // more than the log decides what is a revision: idle ticks, or a cut
	most               int           // max_groups of the pipeline that re-keys; 0 is no limit
	patience           time.Duration // for the workers to catch up
	short              bool          // the bounded form
	narrow             bool          // the topic of late events takes no long ones

	mu     sync.Mutex
	kills  int
	faults struct{ hits map[string]int } // points at which something happened

	log                   struct{ plain, keyed []*logged }
	began, calm, caughtUp time.Time
}

// life is what one process goes through: faults at points, and a kill from outside when they do not come in time.
type life struct {
	faults string
	limit  time.Duration
	gentle bool // SIGTERM instead of the kill from outside
}

// start starts workers without faults.
func (r *run) start(ctx context.Context, n int) error {
	for range n {
		if _, err := r.worker(ctx, ""); err != nil {
			return err
		}
	}
	return nil
}

// worker starts one more worker.
func (r *run) worker(ctx context.Context, faults string) (*bed.Worker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.bed.NewWorker(ctx, fmt.Sprintf("worker-%d", len(r.bed.Workers)))
	w.Env = r.environment(faults)
	if err := w.Start(ctx); err != nil || len(r.bed.Workers) > 1 {
		return w, err
	}
	return w, r.watch(ctx)
}

func (r *run) environment(faults string) []string {
	env := []string{"TIDEWATCH_FAULTS=" + faults}
	if r.session > 0 {
		env = append(env, "TIDEWATCH_FAULTS_SESSION="+r.session.String())
	}
	return env
}

// live leads a worker through its lives and leaves it running without faults. Workers may be led at the same time.
func (r *run) live(ctx context.Context, w *bed.Worker, lives []life) error {
	for _, l := range lives {
		w.Env = r.environment(l.faults)
		if err := r.again(ctx, w); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.Ended:
		case <-time.After(l.limit):
			if l.gentle {
				w.Signal(syscall.SIGTERM)
				<-w.Ended
				continue
			}
			w.Kill()
		}
		if err := died(w); err != nil {
			return err
		}
		r.mu.Lock()
		r.kills++
		r.mu.Unlock()
	}
	w.Env = r.environment("")
	return r.again(ctx, w)
}

// again starts the worker, on other ports if somebody has taken its own meanwhile.
func (r *run) again(ctx context.Context, w *bed.Worker) error {
	w.Move(ctx)
	return w.Start(ctx)
}

// died reports a worker that has ended by itself.
func died(w *bed.Worker) error {
	status, ok := w.Cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("%s ended by itself: %s; its log is %s", w.ID, w.Cmd.ProcessState, w.Log())
}

// together runs all parts, and cancels the others when one fails.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			if errs[i] = part(ctx); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// readLog reads a topic as it is now: what the oracle judges.
func (r *run) readLog(ctx context.Context, topic string) (all []*logged, err error) {
	records, err := readTopic(ctx, r.lab.Kafka.Brokers(), topic)
	for _, rec := range records {
		all = append(all, &logged{partition: rec.Partition, offset: rec.Offset, at: rec.Timestamp.UnixMilli(), value: rec.Value})
	}
	return all, err
}

// readTopic reads all that committed readers see, partition by partition, in offset order.
func readTopic(ctx context.Context, brokers []string, topic string) (all []*kgo.Record, err error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", topic, err)
	}
	by, missing := map[int32][]*kgo.Record{}, int64(0)
	for _, o := range ends[topic] {
		missing += o.Offset
	}
	for ctx.Err() == nil && missing > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", topic, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if rec.Offset < ends[topic][rec.Partition].Offset {
				by[rec.Partition] = append(by[rec.Partition], rec)
				missing--
			}
		})
	}
	for p := range int32(len(ends[topic])) {
		all = append(all, by[p]...)
	}
	return all, ctx.Err()
}

// hits reads from the workers' logs at which points something happened.
func (r *run) hits() error {
	for _, w := range r.bed.Workers {
		file, err := os.Open(w.Log())
		if err != nil {
			return err
		}
		for s := bufio.NewScanner(file); s.Scan(); {
			if rest, ok := strings.CutPrefix(s.Text(), "fault "); ok {
				point, _, _ := strings.Cut(rest, ":")
				r.faults.hits[point]++
			}
		}
		file.Close()
	}
	return nil
}

// rng draws what one part of the schedule needs; parts do not depend on each other's draws.
func (r *run) rng(part uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, 1000+part)) }
