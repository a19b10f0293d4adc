package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
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
	pipeline, from, to string
}

func (a *app) replayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use: "replay", Short: "Run a pipeline over recorded events", Args: cobra.NoArgs,
		Long: "Runs a pipeline over files of JSON lines (plain or .gz), with the decoders, marks and operators of a worker. What a rule\n" +
			"would have done is printed, or with --to config written where the configuration says.",
		Example: "  tidewatch replay --pipeline host-cpu --from events.jsonl.gz\n  tidewatch replay --pipeline my.yaml --from folder --to config -c tidewatch.yaml",
		RunE:    func(c *cobra.Command, _ []string) error { return a.replay(c.Context(), &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.pipeline, "pipeline", "", "file of a pipeline, or the name of a shipped one")
	fl.StringVar(&f.from, "from", "", "file of events, or a folder of them")
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
	sinks := map[string]*console.Sink{}
	r.Collect = func(step string, b *stream.Batch) error {
		if b.Phase != stream.Closed && b.Phase != stream.Revised {
			return nil
		}
		if sinks[step] == nil {
			sinks[step] = printer.NewSink(plan.Pipeline, step)
		}
		return sinks[step].Write(context.Background(), b)
	}
	r.Decide = func(d stream.Decision) error {
		_, err := fmt.Fprintf(a.out, "{\"pipeline\":%q,\"transition\":%s}\n", plan.Pipeline, d.Body)
		return err
	}
	r.Reject = func(d stream.Rejected) error {
		_, err := fmt.Fprintf(a.errs, "line %d is rejected: %s\n", d.Offset+1, d.Reason)
		return err
	}
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
	files, err := replay.Find(f.from, plan.Stages[0].Topics[0])
	if err != nil {
		return fail(exitNotFound, err)
	}
	bar := a.bar(files)
	var inputs []engine.LocalInput
	for _, file := range files {
		inputs = append(inputs, engine.LocalInput{
			Partition: file.Partition, Partitions: int32(len(files)),
			Open: func(ctx context.Context, d stream.Decoder) (stream.Reader, error) {
				return file.Open(ctx, d, func(n int64) { _ = bar.Add64(n) })
			},
		})
	}
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

// bar shows progress by bytes on a terminal, and nothing elsewhere.
func (a *app) bar(files []replay.File) *progressbar.ProgressBar {
	var total int64
	for _, f := range files {
		total += f.Size
	}
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
