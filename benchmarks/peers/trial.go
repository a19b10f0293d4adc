package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/oracle"
)

// trial is one engine doing one workload.
type trial struct {
	*lab
	w       *workload
	e       *engine
	name    string // of its output topic, its consumer group, its database
	dir     string // of its state
	in      *input
	oracle  *oracle.Oracle
	live    bool // a producer is at work: latency is measured
	cluster *bed.Cluster
	closing *closing  // nil where nobody follows the output
	alerts  *pgx.Conn // to its database, where alerts are the output
}

func (t *trial) log() string { return filepath.Join(t.lab.dir, t.name+".log") }

// disorder is how far behind the highest event time the watermark stays. A live producer keeps the order.
func (t *trial) disorder() time.Duration {
	switch {
	case t.live:
		return 0
	case t.w.alerts:
		return lateness
	}
	return disorder
}

// patience is how long late events still count. Where events are re-keyed, those of a group come from several partitions,
// one of which may be read far ahead of the others. An engine that knows no watermark for each partition takes the others for
// late then and drops them, so it has to wait as long as the whole topic is.
func (t *trial) patience() time.Duration {
	if t.w.rekeys && t.e.mixes && !t.live {
		return t.in.to.Sub(t.in.from) + (closingSteps+1)*closingStep
	}
	if t.w.alerts {
		return 0
	}
	return lateness
}

// open makes what the engine needs before it starts.
func (t *trial) open(ctx context.Context) error {
	t.dir = filepath.Join(t.lab.dir, t.name)
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return err
	}
	return t.createTopic(ctx, t.name)
}

// clean removes what the engine has left, so that the next one finds the machine as this one has.
func (t *trial) clean(ctx context.Context) error {
	var err error
	if t.cluster != nil {
		t.cluster.Leave()
		t.leaveDatabase(ctx)
		err = emptyRedis(ctx, t.servers.Redis.URL())
	}
	return errors.Join(err, t.remove(ctx, t.name), os.RemoveAll(t.dir))
}

// drain measures how the engine reads a full topic, and checks its answer.
func (t *trial) drain(ctx context.Context) (out *line, err error) {
	if err := t.open(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			err = t.clean(ctx)
		}
	}()
	before := usageOf(t.serverPIDs())
	began := time.Now()
	g, err := t.e.start(ctx, t)
	if err != nil {
		return nil, err
	}
	m := watch(g.pids())
	looking, stop := context.WithCancel(ctx)
	defer stop()
	finished, err := t.await(looking, g, m, began)
	peak, written := m.end()
	err = errors.Join(err, g.stop(syscall.SIGTERM))
	servers := usageOf(t.serverPIDs()).minus(before)
	if err != nil {
		return nil, err
	}
	million, wall := float64(t.in.events)/1e6, finished.Sub(began).Seconds()
	out = &line{
		Mode: modeDrain, Events: t.in.events, Hosts: t.o.hosts, Kills: g.kills, CPU: round(g.cpu()/million, 3), ServersCPU: round(servers.cpu/million, 3),
		PerSecond: math.Round(float64(t.in.events) / wall), Wall: round(wall, 1), RSS: math.Round(peak), Written: math.Round(written),
		ServersWritten: math.Round(float64(servers.written) / (1 << 20)),
	}
	if err := t.compare(ctx, out); err != nil {
		return out, err
	}
	if t.w.kills && g.kills == 0 {
		return out, errors.New("it was never killed: give more -events, or a shorter -kill-every")
	}
	return out, nil
}

func round(x float64, digits int) float64 {
	p := math.Pow(10, float64(digits))
	return math.Round(x*p) / p
}

// done reports whether the engine has done its work.
func (s sight) done(ended, calm bool) (bool, error) {
	switch {
	case ended && s.progress == "":
		return true, nil
	case ended:
		return false, errors.New("the engine has ended before it had read everything")
	}
	return s.ready && s.progress != "" && calm, nil
}

// killIfDue kills the engine, and starts it again, when it has lived for as long as it may. It is left alone once it has read everything.
// The answer is since when it lives.
func (t *trial) killIfDue(ctx context.Context, g *group, m *meter, now sight, born time.Time) (time.Time, error) {
	if !t.w.kills || now.ready || time.Since(born) < t.o.killEvery {
		return born, nil
	}
	err := g.again(func() (*group, error) { return t.e.start(ctx, t) })
	m.again(g.pids())
	bed.Progress("%s was killed, and started again", t.name)
	return time.Now(), err
}

// await waits until the engine has read everything and its output has come to rest, and answers since when.
func (t *trial) await(ctx context.Context, g *group, m *meter, began time.Time) (since time.Time, err error) {
	born := began
	calm := t.o.checkpoint + 2*time.Second // what leaves with a commit has left then
	last, answered := "", began
	for since = began; time.Since(began) < t.o.limit; {
		ended, err := g.poll()
		if err != nil {
			return since, err
		}
		now, lookErr := t.e.look(ctx, t)
		output, outputErr := t.outputSize(ctx)
		if err := errors.Join(lookErr, outputErr); err != nil {
			if time.Since(answered) > 30*time.Second { // a server may be busy for a moment
				return since, err
			}
			if err := bed.Sleep(ctx, 250*time.Millisecond); err != nil {
				return since, err
			}
			continue
		}
		answered = time.Now()
		if seen := now.progress + output; seen != last {
			last, since = seen, time.Now()
		}
		if done, err := now.done(ended, time.Since(since) > calm); done || err != nil {
			return since, err
		}
		if born, err = t.killIfDue(ctx, g, m, now, born); err != nil {
			return since, err
		}
		if err := bed.Sleep(ctx, 250*time.Millisecond); err != nil {
			return since, err
		}
	}
	return since, fmt.Errorf("the engine did not come to an end within %s; its log is %s", t.o.limit, t.log())
}

// outputSize changes whenever more of the output can be seen.
func (t *trial) outputSize(ctx context.Context) (string, error) {
	ends, err := t.admin.ListCommittedOffsets(ctx, t.name)
	if err != nil {
		return "", fmt.Errorf("ask for the end of %s: %w", t.name, err)
	}
	var size int64
	ends.Each(func(o kadm.ListedOffset) { size += o.Offset })
	parts, _ := filepath.Glob(filepath.Join(t.dir, "rows/*")) // the pattern is well-formed
	for _, part := range parts {
		if info, err := os.Stat(part); err == nil {
			size += info.Size()
		}
	}
	if t.cluster != nil && t.toRedis() {
		changes, err := changesIn(ctx, t.servers.Redis.URL())
		return changes, err
	}
	if t.cluster != nil && t.w.alerts {
		return t.alertsSize(ctx)
	}
	return fmt.Sprint(" ", size), nil
}

// lookAtEnd is for engines that end by themselves when the topic does.
func lookAtEnd(context.Context, *trial) (sight, error) { return sight{}, nil }

// ends reports whether Flink ends at the end of the topic. Once restored, the source of this connector would never find that end, so
// then the harness finds it.
func (t *trial) ends() bool { return !t.live && !t.w.kills }

func lookAtFlink(ctx context.Context, t *trial) (sight, error) {
	if t.ends() {
		return sight{}, nil
	}
	if t.closing == nil {
		t.closing = &closing{failed: make(chan error, 1)}
		go func() {
			t.closing.failed <- t.e.follow(ctx, t, func(r windowRow) {
				if r.Start >= t.in.closed && strings.HasPrefix(r.Host, closingHost) {
					t.closing.seen.Store(true)
				}
			})
		}()
	}
	select {
	case err := <-t.closing.failed:
		return sight{}, fmt.Errorf("follow the output: %w", errors.Join(err, ctx.Err()))
	default:
		return sight{ready: t.closing.seen.Load(), progress: "runs"}, nil
	}
}

// closing is whether the output has the row of the last window that closes.
type closing struct {
	seen   atomic.Bool
	failed chan error
}

// lookAtGroup is for engines that commit offsets to Kafka, for the topic and for what they write on the way.
func lookAtGroup(ctx context.Context, t *trial) (sight, error) {
	offsets, err := t.admin.FetchOffsets(ctx, t.name)
	if err != nil {
		return sight{}, fmt.Errorf("ask for the offsets of %s: %w", t.name, err)
	}
	var read, others int64
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == t.in.topic {
			read += max(o.At, 0)
		} else {
			others += max(o.At, 0)
		}
	})
	left, err := t.leftOnTheWay(ctx, offsets)
	return sight{ready: read == t.in.events && left <= onlyMarkers, progress: fmt.Sprint(read, " ", others)}, err
}

// onlyMarkers is how many offsets may be left on the way when all is read: the markers of transactions have offsets, and nobody
// commits behind the last ones.
const onlyMarkers = 8 * partitions

// leftOnTheWay is how much of the topics in which the engine re-keys is still to be read.
func (t *trial) leftOnTheWay(ctx context.Context, offsets kadm.OffsetResponses) (left int64, err error) {
	topics, err := t.admin.ListTopics(ctx)
	if err != nil {
		return 0, fmt.Errorf("list topics: %w", err)
	}
	for _, name := range topics.Names() {
		if !strings.HasPrefix(name, t.name+"-") || !strings.HasSuffix(name, "-repartition") {
			continue
		}
		ends, err := t.admin.ListCommittedOffsets(ctx, name)
		if err != nil {
			return 0, fmt.Errorf("ask for the end of %s: %w", name, err)
		}
		ends.Each(func(end kadm.ListedOffset) {
			at, _ := offsets.Lookup(name, end.Partition)
			left += end.Offset - max(at.At, 0)
		})
	}
	return left, nil
}

// compare asks the oracle about the output.
func (t *trial) compare(ctx context.Context, out *line) error {
	file, err := os.Create(t.file("rows.jsonl"))
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	w := bufio.NewWriterSize(file, 1<<20)
	if err := errors.Join(t.e.collect(ctx, t, w), w.Flush(), file.Close()); err != nil {
		return fmt.Errorf("collect the output: %w", err)
	}
	var rows []struct {
		Expected, Came, Equal int64
		Error                 float64
	}
	if err := t.oracle.Query(ctx, t.w.comparisonSQL(t.e.job == jobProduct), &rows); err != nil {
		return err
	}
	out.Expected, out.Rows, out.Equal, out.Error = rows[0].Expected, rows[0].Came, rows[0].Equal, round(rows[0].Error, 4)
	return nil
}
