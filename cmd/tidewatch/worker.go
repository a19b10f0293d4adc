package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/config"
	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/internal/obs"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/sources/kafka"
	"github.com/tidewatch/tidewatch/stream"
)

// worker is one process that runs pipelines and answers for them: everything built from the configuration, in one place.
type worker struct {
	config      config.Config
	file        string // where config can be read, for people; "" if nowhere
	id          string
	log         *slog.Logger
	roles       []string
	slot        time.Duration     // of archive files; 0 is the usual
	internal    map[string]string // configuration of internal topics beside the brokers' defaults
	reportEvery time.Duration     // between reports of complete_through to Redis; 0 reports each
	linger      time.Duration     // of what the worker produces; 0 is the usual
	garbage     time.Duration     // how long objects stay that no row names any more; 0 is the usual
	// shipped runs the pipelines of the library instead of configured ones.
	shipped bool

	components *pipelines.Components
	files      []*pipelines.Spec // of the configuration

	source   *kafka.Source
	producer *sinkkafka.Client
	db       *postgres.DB
	redis    *redis.Client
	refill   *refiller
	objects  stream.Objects
	versions *versions                    // what runs
	view     *statusView                  // for the API
	api      atomic.Pointer[serve.Server] // once it serves
	runner   *engine.Runner
	metrics  *obs.Metrics
	closers  []func() error
}

// open connects to everything and compiles the pipelines. Servers that are away are waited for, but mistakes in the
// configuration or in a pipeline end it before that.
func (w *worker) open(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if len(w.files) == 0 {
		if err := w.load(); err != nil {
			return err
		}
	}
	if err := w.openStores(ctx); err != nil {
		return err
	}
	w.refill = newRefiller(w.redis, w.objects, clock.System{}, w.log)
	w.components.NewSink = stores{redis: w.redis, objects: w.objects, kafka: w.producer, group: w.config.Kafka.Group, refill: w.refill}.newSink
	if err := w.loadPlans(ctx); err != nil {
		return err
	}
	w.view = &statusView{worker: w.id, lineup: w.versions.now.Load, claims: w.db.Claims()}
	return w.openSource(ctx)
}

func (w *worker) openStores(ctx context.Context) (err error) {
	p := postgres.Default()
	p.DSN = w.config.Postgres.DSN
	err = w.wait(ctx, "Postgres", func(ctx context.Context) error {
		if w.db, err = postgres.Open(ctx, p); err != nil {
			return err
		}
		return w.db.Migrate(ctx)
	})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { w.db.Close(); return nil })
	r := redis.Default()
	r.URL, r.ReportEvery = w.config.Redis.URL, w.reportEvery
	redis.RouteLog(w.log)
	if w.redis, err = redis.Open(r, clock.System{}); err != nil {
		return fail(exitUsage, err)
	}
	w.closers = append(w.closers, w.redis.Close)
	o := w.config.Objects
	err = w.wait(ctx, "object store", func(ctx context.Context) error {
		w.objects, err = objects.Open(ctx, objects.Config{
			URL: o.URL, Endpoint: o.Endpoint, Region: o.Region, AccessKey: o.AccessKey, SecretKey: o.SecretKey,
		})
		return err
	})
	if err != nil {
		return err
	}
	w.objects = disturbedObjects(w.objects)
	if w.producer, err = sinkkafka.Open(sinkkafka.Config{Client: kafkaConfig(w.config.Kafka), Log: w.log, Linger: w.linger}); err != nil {
		return fail(exitUsage, err)
	}
	w.closers = append(w.closers, w.producer.Close)
	return nil
}

func kafkaConfig(k config.Kafka) kafkaclient.Config {
	c := kafkaclient.Config{Brokers: k.Brokers}
	if k.TLS != nil {
		c.TLS = &kafkaclient.TLS{CA: k.TLS.CA, Cert: k.TLS.Cert, Key: k.TLS.Key, ServerName: k.TLS.ServerName}
	}
	if k.SASL != nil {
		c.SASL = &kafkaclient.SASL{Mechanism: k.SASL.Mechanism, User: k.SASL.User, Password: k.SASL.Password}
	}
	return c
}

// startPatience is the pause between two attempts to reach a server at the start.
const startPatience = 2 * time.Second

// wait repeats open while its error is Retry, and says once what it waits for.
func (w *worker) wait(ctx context.Context, what string, open func(context.Context) error) error {
	for first := true; ; first = false {
		err := open(ctx)
		if err == nil || stream.KindOfError(err) != stream.Retry {
			return fail(exitUsage, err)
		}
		if first {
			w.log.Warn("waiting for "+what, "error", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-clock.System{}.After(startPatience):
		}
	}
}

// load reads the configured pipelines. It needs no server; open does it unless it is done.
func (w *worker) load() (err error) {
	w.components = components(stores{})
	if w.shipped {
		w.files, err = pipelines.LoadLibrary(w.components)
	} else {
		w.files, err = pipelines.Load(w.components, w.config.Pipelines...)
	}
	if err == nil && len(w.files) == 0 {
		err = errors.New("no pipeline is configured: name files or folders under pipelines in tidewatch.yaml")
	}
	return fail(exitUsage, err)
}

// loadPlans compiles the pipelines, and the archives that they ask for.
func (w *worker) loadPlans(ctx context.Context) error {
	slot := w.slot
	if slot == 0 {
		slot = pipelines.CutSlot
	}
	archives := pipelines.Archives(w.files, w.components, slot)
	w.versions = &versions{
		w: w, components: w.components, files: w.files, controls: newControlArchive(archives, w.objects, w.slot),
		archives: append(archives, commandsPlan(w.db.Alerts())),
	}
	if err := w.versions.open(ctx); err != nil {
		return err
	}
	w.refill.writers = func() map[string]bool { return writersToRedis(w.lineup().specs) }
	return nil
}

// lineup is what runs now.
func (w *worker) lineup() *lineup { return w.versions.now.Load() }

func (w *worker) openSource(ctx context.Context) error {
	w.metrics = obs.NewMetrics()
	tracer, stop, err := obs.Tracer(ctx, w.config.Tracing.Endpoint, w.id)
	if err != nil {
		return fmt.Errorf("open tracing: %w", err)
	}
	w.closers = append(w.closers, func() error { return stop(context.WithoutCancel(ctx)) })
	e := engine.Config{
		Store: w.db.Claims(), Objects: w.objects, Clock: clock.System{}, Log: w.log, Tracer: tracer, Observer: w.metrics,
		NewDeadLetters: w.newDeadLetters, NewInternal: w.newInternal, Retention: w.garbage,
		Lossless: w.config.Postgres.Failover == config.LosslessFailover, Worker: fmt.Sprintf("%s, process %d", w.id, os.Getpid()),
	}
	if err := w.openCache(&e); err != nil {
		return err
	}
	plans := w.lineup().plans
	topics := engine.NewRunner(e, plans).Topics()
	k := kafka.Default()
	k.Client, k.GroupID, k.WorkerID, k.Topics = kafkaConfig(w.config.Kafka), w.config.Kafka.Group, w.id, topics
	k.Clock, k.Log = clock.System{}, w.log
	if w.source, err = kafka.New(disturbedGroup(k)); err != nil {
		return fail(exitUsage, err)
	}
	w.closers = append(w.closers, w.source.Close)
	if err := w.wait(ctx, "Kafka", func(ctx context.Context) error { return w.source.EnsureTopics(ctx, w.ownTopics()) }); err != nil {
		return err
	}
	e.Source = w.source
	w.runner = engine.NewRunner(disturbed(e), plans)
	w.metrics.Watch(w.runner.Status)
	return nil
}

// ownTopics are those that nobody else makes: commands, dead letters, and what re-keyed pipelines use.
func (w *worker) ownTopics() []kafka.TopicSpec {
	specs := []kafka.TopicSpec{
		{Name: alerts.CommandsTopic, Partitions: 1, Config: map[string]string{"retention.ms": "-1", "retention.bytes": "-1"}},
		{Name: sinkkafka.DeadLetterTopic, Partitions: 1},
	}
	for _, p := range w.lineup().plans {
		specs = append(specs, w.internalTopics(p)...)
	}
	return specs
}

// internalTopics are those between the stages of a plan.
func (w *worker) internalTopics(p *engine.Plan) (specs []kafka.TopicSpec) {
	for _, s := range p.Stages {
		if s.Internal != "" {
			specs = append(specs, kafka.TopicSpec{Name: s.Internal, Partitions: s.InternalPartitions, Exact: true, Config: w.internal})
		}
	}
	return specs
}

func (w *worker) newDeadLetters(t engine.TaskContext) (engine.DeadLetters, error) {
	return w.producer.NewDeadLetters(t.Task, t.Stage.Plan.Pipeline), nil
}

// newInternal is a writer into the internal topic of a stage.
func (w *worker) newInternal(t engine.TaskContext) (engine.LogWriter, error) {
	return internalWriter{w.producer.NewWriter(), t.Stage.Internal}, nil
}

// internalWriter fixes the topic of a writer.
type internalWriter struct {
	*sinkkafka.Writer
	topic string
}

// Append implements engine.LogWriter.
func (i internalWriter) Append(ctx context.Context, partition int32, value []byte) error {
	return i.Writer.Append(ctx, sinkkafka.Record{Topic: i.topic, Partition: partition, Value: value})
}

// run works until ctx is done.
func (w *worker) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.view.tasks = w.runner.Status
	w.view.checks = map[string]func(context.Context) error{
		"Redis": w.redis.Ping, "Postgres": w.db.Ping, "Kafka": w.source.Ping, "object store": seldom(clock.System{}, checkObjects(w.objects)),
	}
	if slices.Contains(w.roles, "worker") {
		w.view.checks[contentOfRedis] = w.refill.ready
	}
	w.view.needs = &dependencies{checks: w.view.checks, clock: clock.System{}, log: w.log}
	api, err := (&net.ListenConfig{}).Listen(ctx, "tcp", w.config.HTTP.Listen)
	if err != nil {
		return fail(exitConflict, fmt.Errorf("listen for the API: %w; choose another http.listen", err))
	}
	admin, err := (&net.ListenConfig{}).Listen(ctx, "tcp", w.config.HTTP.Admin)
	if err != nil {
		return errors.Join(fail(exitConflict, fmt.Errorf("listen for metrics: %w; choose another http.admin", err)), api.Close())
	}
	server, err := w.newAPI(api, w.view)
	if err != nil {
		return errors.Join(err, api.Close(), admin.Close())
	}
	w.api.Store(server)
	w.log.Info("worker runs", "worker", w.id, "api", "http://"+api.Addr().String(), "metrics", "http://"+admin.Addr().String()+"/metrics", "pipelines", len(w.lineup().plans))
	var wg sync.WaitGroup
	var errs [6]error
	part := func(i int, run func(context.Context) error) {
		wg.Go(func() {
			if errs[i] = run(ctx); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	part(0, server.Run)
	part(1, func(ctx context.Context) error {
		return obs.Serve(ctx, admin, w.metrics, server.Metrics(), obs.NewAway(w.view.needs.away))
	})
	if slices.Contains(w.roles, "worker") {
		part(2, func(ctx context.Context) error {
			err := w.runner.Run(ctx)
			cancel(err)
			return err
		})
		part(3, func(ctx context.Context) error { return w.refill.run(ctx, w.runner) })
	}
	part(4, w.versions.run)
	part(5, w.view.needs.run)
	wg.Wait()
	return errors.Join(errs[:]...)
}

// close closes everything, last opened first.
func (w *worker) close() error {
	var errs []error
	for _, c := range slices.Backward(w.closers) {
		errs = append(errs, c())
	}
	w.closers = nil
	return errors.Join(errs...)
}

// hostname is the default worker id.
func hostname() string {
	h, err := os.Hostname()
	if err != nil {
		return "worker"
	}
	return h
}
