package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sinks/console"
	"github.com/tidewatch/tidewatch/sources/archive"
	"github.com/tidewatch/tidewatch/sources/replay"
	"github.com/tidewatch/tidewatch/stream"
)

// replayFlags are what replay is told.
type replayFlags struct {
	pipeline, from, to string
	since, until       string
}

func (a *app) replayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use: "replay", Short: "Run a pipeline over recorded events", Args: cobra.NoArgs,
		Long: "Runs a pipeline over files of JSON lines (plain or .gz), or over the raw archive that workers write, with the decoders,\n" +
			"marks and operators of a worker. What a rule would have done is printed, or with --to config written where the\n" +
			"configuration says. An archive is a folder or bucket that holds raw/; for S3, endpoint and keys come from the\n" +
			"configuration.",
		Example: "  tidewatch replay --pipeline host-cpu --from events.jsonl.gz\n  tidewatch replay --pipeline my.yaml --from tidewatch-data/objects --since 2026-01-01T00:00:00Z\n" +
			"  tidewatch replay --pipeline my.yaml --from s3://bucket/prefix --to config -c tidewatch.yaml",
		RunE: func(c *cobra.Command, _ []string) error { return a.replay(c.Context(), &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.pipeline, "pipeline", "", "file of a pipeline, or the name of a shipped one")
	fl.StringVar(&f.from, "from", "", "file of events, or a folder of them")
	fl.StringVar(&f.since, "since", "", "first event time, of an archive")
	fl.StringVar(&f.until, "until", "", "event time to stop before, of an archive")
	fl.StringVar(&f.to, "to", "console", "console, or config: Redis, object store and Postgres of the configuration")
	return c
}

// replayPlan finds and compiles the pipeline.
func replayPlan(c *pipelines.Components, name string) (*engine.Plan, error) {
	specs, err := loadNamed(c, name)
	if err != nil {
		return nil, fail(exitUsage, err)
	}
	p, err := pipelines.Compile(specs, c)
	if err == nil && p == nil {
		err = fmt.Errorf("pipeline %s only archives its source: there is nothing to replay", name)
	}
	return p, fail(exitUsage, err)
}

func loadNamed(c *pipelines.Components, name string) (*pipelines.Spec, error) {
	if name == "" {
		return nil, errors.New("say which pipeline: --pipeline FILE or the name of a shipped one")
	}
	specs, err := pipelines.LoadLibrary(c)
	if strings.ContainsAny(name, "./\\") {
		specs, err = pipelines.Load(c, name)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range specs {
		if len(specs) == 1 || s.Name.Value == name {
			return s, nil
		}
		names = append(names, s.Name.Value)
	}
	return nil, fmt.Errorf("there is no shipped pipeline %s; there are %s", name, strings.Join(names, ", "))
}

func (a *app) replay(ctx context.Context, f *replayFlags) (err error) {
	if f.from == "" {
		return fail(exitUsage, errors.New("say where the events are: --from FILE or --from FOLDER"))
	}
	r := &engine.Local{Clock: clock.System{}}
	var plan *engine.Plan
	switch f.to {
	case "console":
		printer := console.New(a.out)
		if plan, err = replayPlan(components(stores{console: printer}), f.pipeline); err != nil {
			return err
		}
		a.toConsole(r, plan, printer)
	case "config":
		w, err := a.openReplay(ctx, f)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		plan = w.plans[0]
		claims := &replayClaims{store: w.db.Claims(), task: stream.TaskID{Instance: plan.Instance, Stage: "replay", Partition: stream.Partition{Topic: f.from}}}
		r.Decide = func(d stream.Decision) error { return claims.add(ctx, d) }
		defer func() { err = errors.Join(err, claims.flush(ctx)) }()
	default:
		return fail(exitUsage, fmt.Errorf("--to %s: there are console and config", f.to))
	}
	return a.runReplay(ctx, r, plan, f)
}

// toConsole prints decided values and transitions, instead of what the pipeline's own sinks would do.
func (a *app) toConsole(r *engine.Local, plan *engine.Plan, printer *console.Printer) {
	rows := &replayRows{printer: printer, pipeline: plan.Pipeline, shown: map[*stream.Schema]*shownStep{}}
	r.Collect = rows.collect
	r.Decide = func(d stream.Decision) error {
		_, err := fmt.Fprintf(a.out, "{\"pipeline\":%q,\"transition\":%s}\n", plan.Pipeline, d.Body)
		return err
	}
	r.Reject = func(d stream.Rejected) error {
		_, err := fmt.Fprintf(a.errs, "line %d is rejected: %s\n", d.Offset+1, d.Reason)
		return err
	}
}

// replayRows prints decided values, once: rules pass on what they judge, so the same rows come from several steps.
type replayRows struct {
	printer  *console.Printer
	pipeline string
	shown    map[*stream.Schema]*shownStep
	view     stream.Batch
}

// shownStep is the first step that has shown rows of a schema, and the columns that people see: evidence is for alerts.
type shownStep struct {
	name   string
	sink   *console.Sink
	schema *stream.Schema
}

func (r *replayRows) collect(step string, b *stream.Batch) error {
	if b.Phase != stream.Closed && b.Phase != stream.Revised {
		return nil
	}
	s := r.shown[b.Schema]
	if s == nil {
		n := slices.IndexFunc(b.Schema.Fields, func(f stream.Field) bool { return strings.HasPrefix(f.Name, "_") })
		if n < 0 {
			n = len(b.Schema.Fields)
		}
		s = &shownStep{name: step, sink: r.printer.NewSink(r.pipeline, step), schema: &stream.Schema{Fields: b.Schema.Fields[:n]}}
		r.shown[b.Schema] = s
	}
	if s.name != step {
		return nil
	}
	r.view = *b
	r.view.Schema, r.view.Cols = s.schema, b.Cols[:len(s.schema.Fields)]
	return s.sink.Write(context.Background(), &r.view)
}

// openReplay opens the stores of the configuration and compiles the pipeline onto them.
func (a *app) openReplay(ctx context.Context, f *replayFlags) (*worker, error) {
	c, err := a.load()
	if err != nil {
		return nil, err
	}
	w := &worker{config: c, id: "replay", log: a.log(slog.LevelWarn)}
	if err := w.openStores(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	plan, err := replayPlan(components(stores{redis: w.redis, objects: w.objects, kafka: w.producer}), f.pipeline)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.plans = []*engine.Plan{plan}
	return w, nil
}

func (a *app) runReplay(ctx context.Context, r *engine.Local, plan *engine.Plan, f *replayFlags) error {
	var bar *progressbar.ProgressBar
	told := func(n int64) { _ = bar.Add64(n) } // a bar that cannot draw is no reason to stop
	inputs, size, err := a.replayInputs(ctx, plan, f, told)
	if err != nil {
		return err
	}
	bar = a.bar(size)
	res, err := r.Run(ctx, plan, inputs)
	if err != nil {
		return err
	}
	_ = bar.Finish()
	if !a.quiet {
		line, err := json.Marshal(map[string]any{"pipeline": plan.Pipeline, "offsets": res.Ledger.Sum(), "ledger": res.Ledger.Map(), "complete_through": res.CompleteThrough.String()})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.errs, string(line))
	}
	return nil
}

// replayInputs are the partitions of the archive, or the files, and how many bytes they have.
func (a *app) replayInputs(ctx context.Context, plan *engine.Plan, f *replayFlags, told func(int64)) ([]engine.LocalInput, int64, error) {
	topic := plan.Stages[0].Topics[0]
	if url, ok := archiveURL(f.from); ok {
		return a.archiveInputs(ctx, url, topic, f, told)
	}
	if f.since != "" || f.until != "" {
		return nil, 0, fail(exitUsage, errors.New("--since and --until are for an archive; files of lines are read whole"))
	}
	files, err := replay.Find(f.from, topic)
	if err != nil {
		return nil, 0, fail(exitNotFound, err)
	}
	var inputs []engine.LocalInput
	var size int64
	for _, file := range files {
		size += file.Size
		inputs = append(inputs, engine.LocalInput{
			Partition: file.Partition, Partitions: int32(len(files)),
			Open: func(ctx context.Context, d stream.Decoder) (stream.Reader, error) { return file.Open(ctx, d, told) },
		})
	}
	return inputs, size, nil
}

// archiveURL tells whether the events lie in an archive: an object store, or a folder that holds raw/.
func archiveURL(from string) (url string, ok bool) {
	if strings.HasPrefix(from, "s3://") || strings.HasPrefix(from, "file://") {
		return from, true
	}
	if info, err := os.Stat(filepath.Join(from, "raw")); err != nil || !info.IsDir() {
		return "", false
	}
	abs, err := filepath.Abs(from)
	return "file://" + filepath.ToSlash(abs), err == nil
}

func (a *app) archiveInputs(ctx context.Context, url, topic string, f *replayFlags, told func(int64)) ([]engine.LocalInput, int64, error) {
	c := archive.Default()
	c.Topics, c.Progress = []string{topic}, told
	now := clock.System{}.Now()
	for _, b := range []struct {
		flag, text string
		into       *stream.Time
	}{{"--since", f.since, &c.Since}, {"--until", f.until, &c.Until}} {
		if b.text == "" {
			continue
		}
		t, err := parseTime(b.text, now)
		if err != nil {
			return nil, 0, fail(exitUsage, fmt.Errorf("%s: %w", b.flag, err))
		}
		*b.into = t
	}
	o := objects.Config{URL: url}
	if strings.HasPrefix(url, "s3://") {
		cfg, err := a.load()
		if err != nil {
			return nil, 0, err
		}
		o.Endpoint, o.Region, o.AccessKey, o.SecretKey = cfg.Objects.Endpoint, cfg.Objects.Region, cfg.Objects.AccessKey, cfg.Objects.SecretKey
	}
	var err error
	if c.Objects, err = objects.Open(ctx, o); err != nil {
		return nil, 0, fail(exitDependency, err)
	}
	src, err := archive.Open(ctx, c)
	if err != nil {
		return nil, 0, fail(exitNotFound, err)
	}
	var inputs []engine.LocalInput
	for _, p := range src.Found() {
		first, err := src.LogStart(ctx, p)
		if err != nil {
			return nil, 0, err
		}
		n, err := src.Partitions(ctx, p.Topic)
		if err != nil {
			return nil, 0, err
		}
		inputs = append(inputs, engine.LocalInput{
			Partition: p, Partitions: n,
			Open: func(ctx context.Context, d stream.Decoder) (stream.Reader, error) { return src.Open(ctx, p, first, d) },
		})
	}
	if len(inputs) == 0 {
		return nil, 0, fail(exitNotFound, fmt.Errorf("the archive %s holds nothing of topic %s", url, topic))
	}
	return inputs, src.Size(), nil
}

// bar shows progress by bytes on a terminal, and nothing elsewhere.
func (a *app) bar(total int64) *progressbar.ProgressBar {
	info, err := os.Stderr.Stat()
	if a.quiet || a.errs != os.Stderr || err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return progressbar.DefaultBytesSilent(total)
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(a.errs), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("replay"), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
}

// replayClaims writes decisions into Postgres in the way of a worker: in the transaction that claims an epoch of a row of
// its own. Decisions that are there already are left alone.
type replayClaims struct {
	store   stream.ClaimStore
	task    stream.TaskID
	row     *stream.Checkpoint
	pending []stream.Decision
}

const replayDecisions = 500

func (r *replayClaims) add(ctx context.Context, d stream.Decision) error {
	if r.pending = append(r.pending, d); len(r.pending) < replayDecisions {
		return nil
	}
	return r.flush(ctx)
}

func (r *replayClaims) flush(ctx context.Context) (err error) {
	if len(r.pending) == 0 {
		return nil
	}
	if r.row == nil {
		if r.row, err = r.store.TakeOver(ctx, r.task, fmt.Sprintf("replay-%d", os.Getpid())); err != nil {
			return err
		}
	}
	next := *r.row
	next.Epoch++
	next.Decisions = r.pending
	if next.Record, err = json.Marshal(&stream.Record{Format: 1}); err != nil {
		return err
	}
	won, err := r.store.Claim(ctx, []*stream.Checkpoint{&next})
	if err != nil {
		return err
	}
	if !won[0] {
		return errors.New("another replay of the same events runs: stop one of them")
	}
	next.Decisions = nil
	r.row, r.pending = &next, nil
	return nil
}
