package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/config"
	"github.com/tidewatch/tidewatch/internal/devstack"
	"github.com/tidewatch/tidewatch/sources/kafka"
)

// upFlags are what up is told.
type upFlags struct {
	dir, listen, kafka, admin string
	demo                      []string
	ephemeral                 bool
	listenGiven               bool
	postgres                  string
	keepMiB                   int64
	pipelines                 []string
}

func (a *app) upCommand() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use: "up", Short: "Run everything on this machine, with a demo", Args: cobra.NoArgs,
		Long: "Starts a broker, Redis, PostgreSQL and an object store on this machine, the shipped pipelines on top, and demos that\n" +
			"send events: this machine and tidewatch itself, real records of an attack on AWS, and simulated hosts, services and\n" +
			"users with planted incidents. Everything lies in one folder and is there again after the next start.\n" +
			"It is one node and meant for trying out and development; see tidewatch serve for production.",
		Example: "  tidewatch up\n  tidewatch up --demo host,cloudtrail\n  tidewatch up --demo none --pipelines my-pipelines\n  tidewatch up --ephemeral",
		RunE: func(c *cobra.Command, _ []string) error {
			f.listenGiven = c.Flags().Changed("listen")
			return a.up(c.Context(), &f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.dir, "data-dir", "./tidewatch-data", "folder of everything that persists")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the API; the next free port if it is taken and not given")
	fl.StringVar(&f.kafka, "kafka-listen", "127.0.0.1:9092", "address of the broker")
	fl.StringVar(&f.admin, "admin-listen", "127.0.0.1:0", "address of /metrics")
	fl.Int64Var(&f.keepMiB, "kafka-keep-mib", 8, "what the broker keeps of each partition, in MiB: older records go, ten minutes after they came; 0 keeps seven days")
	fl.StringSliceVar(&f.demo, "demo", []string{demoHost, demoSelf, demoTrail, demoSim}, "demos: "+strings.Join(demos, ", "))
	fl.BoolVar(&f.ephemeral, "ephemeral", false, "keep nothing: use a temporary folder")
	fl.StringVar(&f.postgres, "postgres", "", "DSN of a PostgreSQL to use instead of an own one")
	fl.StringSliceVar(&f.pipelines, "pipelines", nil, "files and folders of pipelines; default the shipped ones")
	return c
}

// upSlot is the length of archive files: short, so that events are soon seen there.
const upSlot = time.Minute

// upGarbage is how long old snapshots stay. They are kept for a database that loses its last commits in a fail-over, and that
// of this folder has nobody to fail over to.
const upGarbage = 5 * time.Minute

const (
	// upInternal is how long the broker keeps internal topics: nobody reads those but the worker, which comes back to the last
	// half minute. The broker needs memory for each of their many small batches. What is kept goes in files of upInternalFile.
	upInternal     = 5 * time.Minute
	upInternalFile = 64 << 10
	// upLinger gathers what the tasks produce within a moment: a batch costs the embedded broker more than what is in it.
	upLinger = 100 * time.Millisecond
	// upReport is the least distance of reports of complete_through: the embedded Redis makes a Lua machine for each.
	upReport = 3 * time.Second
	// upGCPercent trades processor for memory: nearly all of this process is idle, and what lives is small. During upStart,
	// for whose end a person waits, it is upStartGCPercent.
	upGCPercent      = 50
	upStartGCPercent = 200
	upStart          = 10 * time.Second
)

func (a *app) up(ctx context.Context, f *upFlags) (err error) {
	for _, d := range f.demo {
		if !slices.Contains(demos, d) {
			return fail(exitUsage, fmt.Errorf("--demo %s: there are %s", d, strings.Join(demos, ", ")))
		}
	}
	if len(f.demo) > 1 && slices.Contains(f.demo, demoNone) {
		return fail(exitUsage, errors.New("--demo none stands alone"))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(upStartGCPercent)
		go func() {
			select {
			case <-ctx.Done():
			case <-clock.System{}.After(upStart):
				debug.SetGCPercent(upGCPercent)
			}
		}()
	}
	began := clock.System{}.Now()
	log := a.log(slog.LevelWarn)
	var sim simulation
	defer sim.close()
	w := &worker{id: "up", log: log, roles: []string{"worker", "api"}, slot: upSlot, linger: upLinger, reportEvery: upReport, shipped: len(f.pipelines) == 0}
	w.config.Pipelines = f.pipelines
	var loading errgroup.Group
	loading.Go(w.load)
	stack, err := a.startStack(ctx, f, log, &sim)
	if err != nil {
		return errors.Join(loading.Wait(), err)
	}
	defer func() { err = errors.Join(err, stack.Close()) }()
	if err := loading.Wait(); err != nil {
		return err
	}
	listen, err := freeListen(ctx, f.listen, f.listenGiven)
	if err != nil {
		return err
	}
	if f.admin, err = freePort(ctx, f.admin); err != nil {
		return err
	}
	c := config.Default()
	c.Kafka.Brokers, c.Redis.URL, c.Postgres.DSN, c.Objects.URL = stack.Brokers(), stack.RedisURL(), stack.PostgresDSN(), stack.ObjectsURL()
	c.HTTP.Listen, c.HTTP.Admin, c.Pipelines = listen, f.admin, f.pipelines
	file := filepath.Join(stack.Dir(), "tidewatch.yaml")
	again := hasFile(file)
	if err := config.Write(file, &c); err != nil {
		return err
	}
	w.config, w.file = c, file
	if f.postgres == "" {
		w.garbage = upGarbage
		w.config.Postgres.Failover = config.LosslessFailover
	}
	if f.keepMiB > 0 {
		w.internal = map[string]string{
			"retention.ms": strconv.FormatInt(upInternal.Milliseconds(), 10), "segment.bytes": strconv.Itoa(upInternalFile),
		}
	}
	if err := w.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	topics := []kafka.TopicSpec{{Name: "metrics", Partitions: demoPartitions}, {Name: "security", Partitions: demoPartitions}}
	if err := w.source.EnsureTopics(ctx, topics); err != nil {
		return err
	}
	a.banner(&started{upFlags: f, worker: w, plans: w.lineup().plans, stack: stack, again: again, took: clock.System{}.Now().Sub(began)})
	return a.runUp(ctx, w, stack, f, &sim)
}

// startStack starts the servers. The simulation begins meanwhile.
func (a *app) startStack(ctx context.Context, f *upFlags, log *slog.Logger, sim *simulation) (*devstack.Stack, error) {
	d := devstack.Config{Dir: f.dir, KafkaListen: f.kafka, Ephemeral: f.ephemeral, PostgresDSN: f.postgres, TopicBytes: f.keepMiB << 20, Clock: clock.System{}, Log: log, Progress: a.say}
	if f.ephemeral {
		d.Dir = ""
	}
	if slices.Contains(f.demo, demoSim) {
		d.KafkaUp = sim.begin
	}
	stack, err := devstack.Start(ctx, d)
	if err != nil && ctx.Err() != nil { // whatever it says, it was interrupted
		return nil, ctx.Err()
	}
	return stack, fail(exitConflict, err)
}

// hasFile reports whether there is such a file.
func hasFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// say tells what the start is doing.
func (a *app) say(text string) {
	if !a.quiet {
		fmt.Fprintln(a.errs, text)
	}
}

// freePort is the address, with a port where it leaves that open, so that it can be told.
func freePort(ctx context.Context, addr string) (string, error) {
	if !strings.HasSuffix(addr, ":0") {
		return addr, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", fail(exitConflict, fmt.Errorf("--admin-listen %s: %w", addr, err))
	}
	return l.Addr().String(), l.Close()
}

// freeListen is the address, or with the next free port if nobody insisted on this one.
func freeListen(ctx context.Context, addr string, given bool) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fail(exitUsage, fmt.Errorf("--listen: %q is not host:port", addr))
	}
	first, err := strconv.Atoi(port)
	if err != nil {
		return "", fail(exitUsage, fmt.Errorf("--listen: %q is not a port", port))
	}
	const tries = 50
	for n := first; n < first+tries; n++ {
		candidate := net.JoinHostPort(host, strconv.Itoa(n))
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", candidate)
		if err == nil {
			return candidate, l.Close()
		}
		if given {
			return "", fail(exitConflict, fmt.Errorf("--listen %s: %w", addr, err))
		}
	}
	return "", fail(exitConflict, fmt.Errorf("no free port from %d to %d: use --listen", first, first+tries-1))
}

// runUp runs worker, demo and view until ctx is done or a part has died.
func (a *app) runUp(ctx context.Context, w *worker, stack *devstack.Stack, f *upFlags, sim *simulation) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var errs [3]error
	part := func(i int, run func(context.Context) error) {
		wg.Go(func() {
			err := run(ctx)
			if err != nil && ctx.Err() == nil {
				errs[i] = err
				cancel(err)
			}
		})
	}
	part(0, func(ctx context.Context) error {
		err := w.run(ctx)
		cancel(err)
		return err
	})
	part(1, func(ctx context.Context) error { return w.demo(ctx, f.demo, sim) })
	part(2, func(ctx context.Context) error { return a.view(ctx, w) })
	select {
	case <-ctx.Done():
	case <-stack.Died():
		cancel(fmt.Errorf("a server of this stack has died: %w", stack.Err()))
	}
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		errs[2] = errors.Join(errs[2], cause)
	}
	return errors.Join(errs[:]...)
}
