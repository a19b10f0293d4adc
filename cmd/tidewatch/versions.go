package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/stream"
)

// lineup is what a worker runs. It is never changed: another one takes its place.
type lineup struct {
	plans     []*engine.Plan
	specs     []*pipelines.Spec
	described []*pipelines.Description
}

// newest are the plans without those that another version follows.
func (l *lineup) newest() []*engine.Plan {
	return slices.DeleteFunc(slices.Clone(l.plans), func(p *engine.Plan) bool {
		return !slices.ContainsFunc(l.described, func(d *pipelines.Description) bool { return d.Instance == p.Instance })
	})
}

// versions keeps a worker's pipelines as the table of versions has them: what was applied while it ran, and the versions
// before until their windows are final. Every worker looks at the table; whoever finds that something is due does it, since
// all of it may be done twice.
type versions struct {
	w          *worker
	components *pipelines.Components
	archives   []*engine.Plan // and the commands: they have no versions
	controls   *controlArchive
	files      []*pipelines.Spec // of the configuration
	now        atomic.Pointer[lineup]

	turn    sync.Mutex         // of Apply and look
	seen    []postgres.Version // the table as it was followed last
	running map[string]*runningVersion
}

// runningVersion is one version of a pipeline that runs here.
type runningVersion struct {
	row  postgres.Version
	spec *pipelines.Spec
	plan *engine.Plan // nil if it has no tasks of its own
}

// versionsEvery is how often the table is looked at.
const versionsEvery = 2 * time.Second

// linkedFor is how long ago a version may have ended for readers to look for its windows.
const linkedFor = 31 * 24 * time.Hour

// chosen decides what runs: the versions in the table that have not ended, and the files of all other pipelines.
func (v *versions) chosen(rows []postgres.Version) ([]*runningVersion, error) {
	byPipeline := map[string][]postgres.Version{}
	for _, r := range rows {
		byPipeline[r.Pipeline] = append(byPipeline[r.Pipeline], r)
	}
	var all []*runningVersion
	for _, s := range v.files {
		if len(byPipeline[s.Name.Value]) > 0 {
			continue
		}
		one, err := v.first(s)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	for _, name := range sortedKeys(byPipeline) {
		chain, err := v.chain(byPipeline[name])
		if err != nil {
			return nil, err
		}
		all = append(all, chain...)
	}
	return all, nil
}

// first is a version that follows none.
func (v *versions) first(s *pipelines.Spec) (*runningVersion, error) {
	instance, err := pipelines.InstanceOf(s, v.components)
	row := postgres.Version{Instance: instance, Pipeline: s.Name.Value, Take: 1, File: s.File, Body: s.Text(), Since: stream.NoTime}
	return &runningVersion{row: row, spec: s}, err
}

// chain are the versions of a pipeline that run, each with the one before it.
func (v *versions) chain(rows []postgres.Version) (all []*runningVersion, err error) {
	var before *pipelines.Spec
	for i, r := range rows {
		if !r.EndedAt.IsZero() && (clock.System{}).Now().Sub(r.EndedAt) > linkedFor {
			continue
		}
		spec, err := storedSpec(v.components, &r)
		if err != nil {
			return nil, err
		}
		spec = spec.After(before, r.Since, r.Take)
		before = spec
		if r.EndedAt.IsZero() || i == len(rows)-1 {
			all = append(all, &runningVersion{row: r, spec: spec})
		}
	}
	return all, nil
}

// storedSpec reads the text of a version.
func storedSpec(c *pipelines.Components, r *postgres.Version) (*pipelines.Spec, error) {
	specs, err := pipelines.LoadText(c, r.File, r.Body)
	if err != nil {
		return nil, fmt.Errorf("read the applied version %s: %w", r.Instance, err)
	}
	s := specOf(specs, r.Pipeline)
	if s == nil {
		return nil, fmt.Errorf("read the applied version %s: its text has no pipeline %s", r.Instance, r.Pipeline)
	}
	return s, nil
}

// open chooses what runs from the start, and says where that is not what the files say.
func (v *versions) open(ctx context.Context) error {
	rows, err := v.w.db.Versions().List(ctx)
	if err != nil {
		return err
	}
	all, err := v.chosen(rows)
	if err != nil {
		return fail(exitUsage, err)
	}
	v.running = map[string]*runningVersion{}
	for _, one := range all {
		if one.plan, err = v.compile(one.spec); err != nil {
			return fail(exitUsage, err)
		}
		v.running[one.row.Instance] = one
	}
	v.seen = rows
	v.compareFiles()
	return v.show()
}

func (v *versions) compile(s *pipelines.Spec) (*engine.Plan, error) {
	p, err := pipelines.Compile(s, v.components)
	if err != nil || p == nil {
		return nil, err
	}
	return v.controls.plan(p), nil
}

// compareFiles tells of files that are not what runs.
func (v *versions) compareFiles() {
	for _, s := range v.files {
		newest := v.newest(s.Name.Value)
		if newest == nil || newest.spec == s {
			continue
		}
		mine, err := pipelines.InstanceOf(s, v.components)
		if err == nil && mine != baseOf(newest.row.Instance) {
			v.w.log.Warn("the file of a pipeline is not the version that runs: apply it with `tidewatch pipeline apply`", "pipeline", s.Name.Value, "file", s.File, "runs", newest.row.Instance)
		}
	}
}

// baseOf is the instance without the count of takes.
func baseOf(instance string) string {
	name, version, _ := strings.Cut(instance, "@")
	hash, _, _ := strings.Cut(version, "-")
	return name + "@" + hash
}

// newest is the version of a pipeline that runs and that no other follows; nil if there is none.
func (v *versions) newest(pipeline string) (found *runningVersion) {
	for _, one := range v.running {
		if one.row.Pipeline == pipeline && (found == nil || one.row.Since > found.row.Since) {
			found = one
		}
	}
	return found
}

// show makes what runs the lineup.
func (v *versions) show() error {
	l := &lineup{plans: slices.Clone(v.archives)}
	for _, instance := range sortedKeys(v.running) {
		one := v.running[instance]
		if one.plan != nil {
			l.plans = append(l.plans, one.plan)
		}
		if v.newest(one.row.Pipeline) == one {
			l.specs = append(l.specs, one.spec)
		}
	}
	var err error
	if l.described, err = describe(l.specs, v.components, v.archives); err != nil {
		return fail(exitUsage, err)
	}
	v.now.Store(l)
	return nil
}

// run looks at the table until ctx is done.
func (v *versions) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.System{}.After(versionsEvery):
		}
		if err := v.look(ctx); err != nil && ctx.Err() == nil {
			v.w.log.Warn("following the versions of pipelines failed; it is tried again", "error", err)
		}
	}
}

// look takes up versions that were applied anywhere, and ends those that are done.
func (v *versions) look(ctx context.Context) error {
	v.turn.Lock()
	defer v.turn.Unlock()
	rows, err := v.w.db.Versions().List(ctx)
	if err != nil {
		return err
	}
	return errors.Join(v.follow(ctx, rows), v.finish(ctx, rows))
}

// follow runs what the table says.
func (v *versions) follow(ctx context.Context, rows []postgres.Version) error {
	if slices.Equal(rows, v.seen) {
		return nil
	}
	all, err := v.chosen(rows)
	if err != nil {
		return err
	}
	wanted, changed := map[string]bool{}, false
	for _, one := range all {
		wanted[one.row.Instance] = true
		if old := v.running[one.row.Instance]; old != nil {
			old.row = one.row
			continue
		}
		if one.plan, err = v.compile(one.spec); err != nil {
			return err
		}
		if err := v.begin(ctx, one); err != nil {
			return err
		}
		v.running[one.row.Instance], changed = one, true
	}
	for _, instance := range sortedKeys(v.running) {
		if wanted[instance] {
			continue
		}
		v.w.log.Info("a version of a pipeline has ended", "instance", instance)
		v.w.runner.Remove(instance)
		delete(v.running, instance)
		changed = true
	}
	v.seen = rows
	if !changed {
		return nil
	}
	return v.show()
}

// begin runs a version.
func (v *versions) begin(ctx context.Context, one *runningVersion) error {
	if one.plan == nil {
		return nil
	}
	if err := v.w.source.EnsureTopics(ctx, v.w.internalTopics(one.plan)); err != nil {
		return err
	}
	for _, s := range one.plan.Stages {
		v.w.source.Subscribe(s.Topics...)
	}
	v.w.log.Info("a version of a pipeline begins", "instance", one.row.Instance, "since", one.row.Since.String())
	v.w.runner.Add(one.plan)
	return nil
}

// finish does what is due where one version follows another: when both have passed the cut, the alerts that the next one has
// not taken on end; when the records have passed all windows of the old one, and all that it has staged is revealed, it ends.
func (v *versions) finish(ctx context.Context, rows []postgres.Version) error {
	var errs []error
	for i := 1; i < len(rows); i++ {
		old, next := v.running[rows[i-1].Instance], v.running[rows[i].Instance]
		if old != nil && next != nil && old.plan != nil && next.plan != nil && old.row.Pipeline == next.row.Pipeline {
			errs = append(errs, v.finishOne(ctx, old, next))
		}
	}
	return errors.Join(errs...)
}

func (v *versions) finishOne(ctx context.Context, old, next *runningVersion) error {
	f, err := pipelines.Follow(old.spec, next.spec, v.components)
	if err != nil {
		return err
	}
	cut := next.row.Since
	before, err := v.progress(ctx, old.plan)
	if err != nil {
		return err
	}
	after, err := v.progress(ctx, next.plan)
	if err != nil || min(before.mark, after.mark) < cut {
		return err
	}
	_, name, _ := strings.Cut(old.row.Instance, "@")
	n, err := v.w.db.Alerts().Supersede(ctx, old.row.Pipeline, name, cut)
	if err != nil {
		return err
	}
	if n > 0 {
		v.w.log.Info("alerts of the version before have ended", "instance", old.row.Instance, "alerts", n)
	}
	if before.records < cut.Add(f.Done) || before.staged {
		return nil
	}
	return v.w.db.Versions().End(ctx, old.row.Instance)
}

// claimed is how far all tasks of a plan have claimed.
type claimed struct {
	mark    stream.Time // of the last stage
	records stream.Time // of all stages, by records; a task that has read nothing holds nothing back
	staged  bool        // a row still names files or records of an output that are staged: whoever owns the task reveals them
}

func (v *versions) progress(ctx context.Context, p *engine.Plan) (claimed, error) {
	stages, bodies, err := v.w.db.Claims().Records(ctx, p.Instance)
	if err != nil {
		return claimed{}, err
	}
	return claimedBy(p, stages, bodies)
}

// claimedBy reads the records of rows, each of a stage.
func claimedBy(p *engine.Plan, stages []string, bodies [][]byte) (claimed, error) {
	if len(bodies) == 0 {
		return claimed{mark: stream.NoTime, records: stream.NoTime}, nil
	}
	all := claimed{mark: stream.MaxTime, records: stream.MaxTime}
	for i, body := range bodies {
		rec := stream.Record{Mark: stream.NoTime, RecordMark: stream.NoTime}
		if len(body) > 0 {
			if err := json.Unmarshal(body, &rec); err != nil {
				return claimed{}, fmt.Errorf("read record of %s: %w", p.Instance, err)
			}
		}
		if stages[i] == p.Stages[len(p.Stages)-1].Name {
			all.mark = min(all.mark, rec.Mark)
		}
		if rec.At.Offset > rec.First {
			all.records = min(all.records, rec.RecordMark)
		}
		all.staged = all.staged || slices.ContainsFunc(rec.Staged, func(s stream.Staged) bool {
			kind, _, _ := strings.Cut(s.Sink, ".")
			return kind == string(pipelines.ParquetSink) || kind == string(pipelines.KafkaSink)
		})
	}
	return all, nil
}

// Apply implements serve.Applier.
func (v *versions) Apply(ctx context.Context, r serve.ApplyRequest) (serve.ApplyAnswer, error) {
	specs, err := pipelines.LoadText(v.components, cmp.Or(r.File, "the request"), r.Text)
	if err != nil {
		return serve.ApplyAnswer{}, serve.Refused(err.Error())
	}
	v.turn.Lock()
	defer v.turn.Unlock()
	rows, err := v.w.db.Versions().List(ctx)
	if err != nil {
		return serve.ApplyAnswer{}, err
	}
	if err := v.follow(ctx, rows); err != nil {
		return serve.ApplyAnswer{}, err
	}
	answer := serve.ApplyAnswer{Pipelines: []serve.AppliedPipeline{}}
	for _, s := range specs {
		one, err := v.applyOne(ctx, s, &r)
		if err != nil {
			return answer, err
		}
		answer.Pipelines = append(answer.Pipelines, one)
	}
	if r.DryRun {
		return answer, nil
	}
	if rows, err = v.w.db.Versions().List(ctx); err != nil {
		return answer, err
	}
	return answer, v.follow(ctx, rows)
}

// applyOne lets a spec follow what runs.
func (v *versions) applyOne(ctx context.Context, s *pipelines.Spec, r *serve.ApplyRequest) (a serve.AppliedPipeline, err error) {
	name := s.Name.Value
	base, err := pipelines.InstanceOf(s, v.components)
	if err != nil {
		return a, err
	}
	old := v.newest(name)
	if old != nil && baseOf(old.row.Instance) == base {
		return serve.AppliedPipeline{Pipeline: name, Instance: old.row.Instance, Unchanged: true}, nil
	}
	next := &runningVersion{row: postgres.Version{Pipeline: name, File: s.File, Body: s.Text(), Since: stream.NoTime, AppliedBy: r.By}}
	if err := v.take(ctx, next, s); err != nil {
		return a, err
	}
	if next.plan, err = v.compile(next.spec); err != nil {
		return a, err
	}
	if next.plan == nil {
		return a, serve.Refused(fmt.Sprintf("pipeline %s only asks for the archive of its topics: restart the workers with the changed file", name))
	}
	a = serve.AppliedPipeline{Pipeline: name, Instance: next.row.Instance}
	if old == nil {
		if !r.DryRun {
			err = v.w.db.Versions().Add(ctx, &next.row)
		}
		return a, err
	}
	return v.succeed(ctx, old, next, r, a)
}

// take finds the name of the next instance of a text: one that no task has had.
func (v *versions) take(ctx context.Context, next *runningVersion, s *pipelines.Spec) (err error) {
	for take := 1; ; take++ {
		next.row.Take, next.spec = take, s.After(nil, stream.NoTime, take)
		if next.row.Instance, err = pipelines.InstanceOf(next.spec, v.components); err != nil {
			return err
		}
		if rows, _, err := v.w.db.Claims().Records(ctx, next.row.Instance); err != nil || len(rows) == 0 {
			return err
		}
	}
}

// succeed claims the cut.
func (v *versions) succeed(ctx context.Context, old, next *runningVersion, r *serve.ApplyRequest, a serve.AppliedPipeline) (serve.AppliedPipeline, error) {
	f, err := pipelines.Follow(old.spec, next.spec, v.components)
	if err != nil {
		return a, serve.Refused(err.Error())
	}
	a.Before, a.Fresh = old.row.Instance, f.Fresh
	for _, h := range f.Inherit {
		a.Inherits = append(a.Inherits, h.Step)
	}
	if r.DryRun {
		return a, nil
	}
	s := &engine.Succession{Old: old.plan, New: next.plan, Every: f.Every, Inherit: f.Inherit, Objects: v.w.objects}
	for _, topic := range old.plan.Stages[0].Topics {
		n, err := v.w.source.Partitions(ctx, topic)
		if err != nil {
			return a, err
		}
		s.Partitions += int(n)
	}
	if err := v.w.source.EnsureTopics(ctx, v.w.internalTopics(next.plan)); err != nil {
		return a, err
	}
	if topic := next.plan.Stages[0].Internal; topic != "" {
		if s.Internal, err = v.w.source.PartitionsOf(ctx, topic); err != nil {
			return a, err
		}
	}
	store := &postgres.Successor{DB: v.w.db, Old: &old.row, Next: func() *postgres.Version { next.row.Since = s.Cut; return &next.row }}
	if err := s.Begin(ctx, store); err != nil {
		if errors.Is(err, engine.ErrNotReady) {
			err = serve.NotReady(err.Error())
		}
		return a, err
	}
	since := serve.Instant(s.Cut)
	a.Since = &since
	v.w.log.Info("a new version of a pipeline was applied", "instance", next.row.Instance, "before", old.row.Instance, "since", s.Cut.String(), "by", r.By)
	return a, nil
}

var _ serve.Applier = (*versions)(nil)
