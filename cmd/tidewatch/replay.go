package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/sinks/console"
	"github.com/tidewatch/tidewatch/sources/replay"
	"github.com/tidewatch/tidewatch/stream"
)

// replayFlags are what replay is told.
type replayFlags struct {
	pipeline, name string
	from, to       string
	since, until   string
	diff           bool
	against        string
	failOnChange   bool
}

// reading is what plans read together.
type reading struct {
	plans []*engine.Plan // where topics are the same, the control records of the first one take effect in all
	told  func(bytes int64)
}

// topics are those of all plans, once each.
func (r reading) topics() (all []string) {
	for _, p := range r.plans {
		for _, t := range p.Stages[0].Topics {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all
}

// reader is the first plan that reads the topic.
func (r reading) reader(topic string) *engine.Plan {
	return r.plans[slices.IndexFunc(r.plans, func(p *engine.Plan) bool { return slices.Contains(p.Stages[0].Topics, topic) })]
}

func (a *app) replayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use: "replay", Short: "Run a pipeline over recorded events", Args: cobra.NoArgs,
		Long: "Runs a pipeline over files of JSON lines (plain or .gz), or over the raw archive that workers write, with the decoders,\n" +
			"marks and operators of a worker. What a rule would have done is printed, or with --to config written where the\n" +
			"configuration says. An archive is a folder or bucket that holds raw/; for S3, endpoint and keys come from the\n" +
			"configuration. Idle ticks that the workers have claimed for the pipeline are in the archive too and take effect where\n" +
			"they did then; a pipeline that was changed since is given those of its other versions.\n\n" +
			"With --diff nothing is written: it shows what a change of the pipeline would have done. The events run through the\n" +
			"pipeline as it runs now (before) and through --pipeline (after), both without what lies before --since. Each alert that\n" +
			"differs is a line: it is gone, new, or has changed; -v lists the others too. Alerts are the same if rule and group are,\n" +
			"and the events that they judged overlap. Rows of windows are compared too where both have an output of the same name\n" +
			"and columns, which takes about 50 bytes of memory a row. What runs now is asked of the server of --server or of the\n" +
			"configuration, else read from the configured pipelines, which are the shipped ones if there are none.",
		Example: "  tidewatch replay --pipeline host-cpu --from events.jsonl.gz\n  tidewatch replay --pipeline my.yaml --from tidewatch-data/objects --since 2026-01-01T00:00:00Z\n" +
			"  tidewatch replay --pipeline my.yaml --from s3://bucket/prefix --to config -c tidewatch.yaml\n" +
			"  tidewatch replay --pipeline my.yaml --since now-1d --diff\n" +
			"  tidewatch replay --pipeline new.yaml --against old.yaml --from events.jsonl --diff --fail-on-change -o json",
		RunE: func(c *cobra.Command, _ []string) error { return a.replay(c.Context(), &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.pipeline, "pipeline", "", "file or folder of pipelines, or the name of a shipped one")
	fl.StringVar(&f.name, "name", "", "which pipeline, if the file or folder of --pipeline holds several")
	fl.StringVar(&f.from, "from", "", "file of events, a folder of them, or an archive; default objects.url of the configuration")
	fl.StringVar(&f.since, "since", "", "first event time, of an archive")
	fl.StringVar(&f.until, "until", "", "event time to stop before, of an archive")
	fl.StringVar(&f.to, "to", "console", "console, or config: Redis, object store and Postgres of the configuration")
	fl.BoolVar(&f.diff, "diff", false, "compare with the pipeline as it runs now, and write nothing")
	fl.StringVar(&f.against, "against", "", "with --diff: compare with this file or pipeline instead")
	fl.BoolVar(&f.failOnChange, "fail-on-change", false, "with --diff: exit status 8 if an alert or a compared row differs")
	return c
}

// replayPlan finds and compiles the pipeline.
func replayPlan(c *pipelines.Components, f *replayFlags) (*engine.Plan, error) {
	spec, err := findPipeline(c, f.pipeline, f.name)
	if err != nil {
		return nil, fail(exitUsage, err)
	}
	return compileReplay(spec, c)
}

func compileReplay(spec *pipelines.Spec, c *pipelines.Components) (*engine.Plan, error) {
	p, err := pipelines.Compile(spec, c)
	if err == nil && p == nil {
		err = fmt.Errorf("pipeline %s only archives its source: there is nothing to replay", spec.Name.Value)
	}
	return p, fail(exitUsage, err)
}

// findPipeline finds a shipped pipeline, or one of a file or folder, which needs no name if it is the only one.
func findPipeline(c *pipelines.Components, from, name string) (*pipelines.Spec, error) {
	if from == "" {
		return nil, errors.New("say which pipeline: --pipeline FILE or the name of a shipped one")
	}
	shipped := !strings.ContainsAny(from, "./\\")
	specs, err := pipelines.LoadLibrary(c)
	switch {
	case shipped && name != "":
		return nil, fmt.Errorf("--name chooses among the pipelines of a file, but %s is a shipped one; for a file say --pipeline ./%s", from, from)
	case shipped:
		name = from
	default:
		specs, err = pipelines.Load(c, from)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range specs {
		if s.Name.Value == name || name == "" && len(specs) == 1 {
			return s, nil
		}
		names = append(names, s.Name.Value)
	}
	known := strings.Join(names, ", ")
	switch {
	case shipped:
		return nil, fmt.Errorf("there is no shipped pipeline %s; there are %s", name, known)
	case name == "":
		return nil, fmt.Errorf("%s holds %d pipelines; choose one with --name: %s", from, len(specs), known)
	}
	return nil, fmt.Errorf("%s holds no pipeline %s; it holds %s", from, name, known)
}

func (a *app) replay(ctx context.Context, f *replayFlags) (err error) {
	if !f.diff && (f.against != "" || f.failOnChange) {
		return fail(exitUsage, errors.New("--against and --fail-on-change belong to --diff"))
	}
	if f.from == "" {
		if f.from, err = a.configuredArchive(); err != nil {
			return err
		}
	}
	if f.diff {
		return a.replayDiff(ctx, f)
	}
	r := &engine.Local{Clock: clock.System{}}
	var plan *engine.Plan
	switch f.to {
	case "console":
		printer := console.New(a.out)
		if plan, err = replayPlan(components(stores{console: printer}), f); err != nil {
			return err
		}
		a.toConsole(r, plan, printer)
	case "config":
		w, p, err := a.openReplay(ctx, f)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		plan, r.Objects = p, w.objects
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
func (a *app) openReplay(ctx context.Context, f *replayFlags) (*worker, *engine.Plan, error) {
	c, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	w := &worker{config: c, id: "replay", log: a.log(slog.LevelWarn)}
	if err := w.openStores(ctx); err != nil {
		return nil, nil, errors.Join(err, w.close())
	}
	plan, err := replayPlan(components(stores{redis: w.redis, objects: w.objects, kafka: w.producer}), f)
	if err != nil {
		return nil, nil, errors.Join(err, w.close())
	}
	return w, plan, nil
}

func (a *app) runReplay(ctx context.Context, r *engine.Local, plan *engine.Plan, f *replayFlags) error {
	var bar *progressbar.ProgressBar
	told := func(n int64) { _ = bar.Add64(n) } // a bar that cannot draw is no reason to stop
	in, err := a.replayInputs(ctx, f, reading{[]*engine.Plan{plan}, told})
	if err != nil {
		return err
	}
	bar = a.bar(in.size)
	res, err := r.Run(ctx, plan, in.inputs)
	if err != nil {
		return err
	}
	_ = bar.Finish()
	if a.quiet {
		return nil
	}
	summary := map[string]any{"pipeline": plan.Pipeline, "offsets": res.Ledger.Sum(), "ledger": res.Ledger.Map(), "complete_through": res.CompleteThrough.String()}
	if in.archive {
		summary["ticks"] = res.Ticks
	}
	if len(in.ticksOf) > 0 {
		summary["ticks_of"] = in.ticksOf
	}
	line, err := json.Marshal(summary)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.errs, string(line))
	return nil
}

// replayInput is what a replay reads.
type replayInput struct {
	inputs  []engine.LocalInput
	size    int64 // in bytes
	archive bool
	ticksOf []string // instances, if ticks come from other versions of the pipeline
}

// of are the inputs that the plan reads.
func (in *replayInput) of(p *engine.Plan) (some []engine.LocalInput) {
	topics := p.Stages[0].Topics
	if !in.archive {
		topics = topics[:1]
	}
	for _, x := range in.inputs {
		if slices.Contains(topics, x.Partition.Topic) {
			some = append(some, x)
		}
	}
	return some
}

// replayInputs are the partitions of the archive, or the files. Lines do not say their topic: a plan reads them as its first.
func (a *app) replayInputs(ctx context.Context, f *replayFlags, r reading) (*replayInput, error) {
	if url, ok := archiveURL(f.from); ok {
		return a.archiveInputs(ctx, url, f, r)
	}
	if f.since != "" || f.until != "" {
		return nil, fail(exitUsage, errors.New("--since and --until are for an archive; files of lines are read whole"))
	}
	in := &replayInput{}
	known := map[string]bool{}
	for _, p := range r.plans {
		topic := p.Stages[0].Topics[0]
		if known[topic] {
			continue
		}
		known[topic] = true
		files, err := replay.Find(f.from, topic)
		if err != nil {
			return nil, fail(exitNotFound, err)
		}
		for _, file := range files {
			in.size += file.Size
			in.inputs = append(in.inputs, engine.LocalInput{
				Partition: file.Partition, Partitions: int32(len(files)),
				Open: func(ctx context.Context, d stream.Decoder) (stream.Reader, error) { return file.Open(ctx, d, r.told) },
			})
		}
	}
	return in, nil
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
