package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tidewatch/tidewatch/stream"
)

// Local runs a plan over bounded input in one goroutine, without claims: for replays and for the cases of a pipeline. The
// decoders, marks, operators, cuts and the re-keying are those of a Runner, and control records take effect where they did in
// the live run, so the answers are too.
//
// It always reads on where progress is lowest, so that the second stage of a re-keyed plan holds few open windows. That
// changes nothing but memory: decisions depend on the logs alone.
type Local struct {
	// Collect takes the rows of every step ("source" and step names) instead of the plan's sinks, if it is not nil.
	Collect func(step string, b *stream.Batch) error
	// Decide takes the decisions in order.
	Decide func(d stream.Decision) error
	// Reject takes records that do not decode.
	Reject func(r stream.Rejected) error
	// Progress is told the offsets passed, now and then; nil for nobody.
	Progress func(offsets int64)
	// Until is how far idle ticks carry the progress at the end; NoTime or 0 leaves it where the records have led.
	Until stream.Time
	// Objects is where the plan's sinks stage files. They are removed once they are visible. nil if there are none.
	Objects stream.Objects
	Clock   stream.Clock

	plan   *Plan
	owner  string
	first  []*localLane
	second []*localLane
	ticks  int
}

// LocalInput is one partition of the input.
type LocalInput struct {
	Partition  stream.Partition
	Partitions int32 // of the topic
	Open       func(ctx context.Context, d stream.Decoder) (stream.Reader, error)
	// Controls are the control records that the live task has claimed, in the order of their versions.
	Controls []stream.Control
}

// LocalResult tells what became of the input.
type LocalResult struct {
	Ledger          stream.Ledger // of the stages that read events
	Ticks           int           // idle ticks that took effect
	CompleteThrough stream.Time   // lowest progress of the last stage
}

type localLane struct {
	*lane
	task     stream.TaskID
	reader   stream.Reader
	controls []stream.Control  // that have not taken effect
	pending  []*stream.Message // of an internal partition
	offset   int64             // next of an internal partition
	decoder  stream.Decoder
	batch    *stream.Batch
	begun    bool // something was read
	done     bool
	staged   stream.Time // progress at the last staging
	inputs   int         // since then
}

// Run works off all inputs.
func (r *Local) Run(ctx context.Context, p *Plan, inputs []LocalInput) (res *LocalResult, err error) {
	r.plan, r.owner, r.first, r.second, r.ticks = p, newOwner(), nil, nil, 0
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx, inputs); err != nil {
		return nil, err
	}
	for l := lowest(r.first); l != nil; l = lowest(r.first) {
		if err := r.step(ctx, l); err != nil {
			return nil, err
		}
	}
	if r.Until > 0 {
		if err := r.tick(ctx, r.Until); err != nil {
			return nil, err
		}
	}
	if err := r.end(ctx); err != nil {
		return nil, err
	}
	return r.result(), nil
}

// open makes the lanes: one an input for the first stage, one an internal partition for the second.
func (r *Local) open(ctx context.Context, inputs []LocalInput) error {
	stages := r.plan.Stages
	for _, in := range inputs {
		l, err := r.lane(ctx, stages[0], in.Partition, in.Partitions)
		if err != nil {
			return err
		}
		l.controls = in.Controls
		for i := range in.Controls {
			if k := &in.Controls[i]; k.Kind == controlQuarantine {
				l.setAside(k)
			}
		}
		r.first = append(r.first, l)
		if l.decoder, err = l.newDecoder(); err != nil {
			return err
		}
		if l.reader, err = in.Open(ctx, l.decoder); err != nil {
			return err
		}
	}
	if len(stages) == 1 {
		return nil
	}
	for i := range stages[0].InternalPartitions {
		l, err := r.lane(ctx, stages[1], stream.Partition{Topic: stages[0].Internal, Number: i}, stages[0].InternalPartitions)
		if err != nil {
			return err
		}
		if l.decoder, err = l.newDecoder(); err != nil {
			return err
		}
		l.batch = stream.NewBatch(l.decoder.Schema())
		r.second = append(r.second, l)
	}
	return nil
}

func (r *Local) lane(ctx context.Context, s *Stage, p stream.Partition, partitions int32) (*localLane, error) {
	tc := TaskContext{
		Task:       stream.TaskID{Instance: r.plan.Instance, Stage: s.Name, Partition: p},
		Partitions: partitions, Clock: r.Clock, Stage: s, Internal: memoryLog{r},
	}
	if r.Collect != nil {
		s = r.collecting(s)
	}
	l, err := newLane(ctx, s, tc, 0)
	if err != nil {
		return nil, err
	}
	l.onReject = func(_ context.Context, dead []stream.Rejected) error {
		if r.Reject == nil {
			return nil
		}
		for _, d := range dead {
			if err := r.Reject(d); err != nil {
				return err
			}
		}
		return nil
	}
	return &localLane{lane: l, task: tc.Task, staged: stream.NoTime}, nil
}

// collecting is the stage with collectors for sinks.
func (r *Local) collecting(s *Stage) *Stage {
	c := *s
	c.NewSinks = func(_ context.Context, tc TaskContext) ([]Output, error) {
		steps, err := s.NewSteps(tc)
		if err != nil {
			return nil, err
		}
		all := []stream.Phase{stream.Event, stream.Live, stream.Closed, stream.Revised, stream.Final, stream.Late}
		outputs := []Output{{Name: "collect source", Of: "source", Phases: all, Sink: rowCollector{r, "source"}}}
		for _, st := range steps {
			outputs = append(outputs, Output{Name: "collect " + st.Name, Of: st.Name, Phases: all, Sink: rowCollector{r, st.Name}})
		}
		return outputs, nil
	}
	return &c
}

// rowCollector is a sink that hands rows to Local.Collect.
type rowCollector struct {
	r    *Local
	step string
}

// Write implements stream.Sink.
func (c rowCollector) Write(_ context.Context, b *stream.Batch) error { return c.r.Collect(c.step, b) }

// Stage implements stream.Sink: there is nothing to stage.
func (c rowCollector) Stage(stream.Epoch) stream.Work { return nil }

// Reveal implements stream.Sink; there is never a receipt.
func (c rowCollector) Reveal(context.Context, stream.Receipt) error { return nil }

// Close implements stream.Sink.
func (c rowCollector) Close() error { return nil }

// lowest is the lane that reads next, nil when all have ended.
func lowest(lanes []*localLane) (l *localLane) {
	low := stream.MaxTime
	for _, x := range lanes {
		if x.done {
			continue
		}
		if _, mark := x.marker.Marks(); l == nil || mark < low {
			l, low = x, mark
		}
	}
	return l
}

// step reads one input of the lane and lets it run through all stages.
func (r *Local) step(ctx context.Context, l *localLane) error {
	in, err := l.reader.Read(ctx)
	if errors.Is(err, io.EOF) {
		l.done = true
		return r.finish(ctx, l)
	}
	if err != nil {
		return fmt.Errorf("read from offset %d: %w", l.at.Offset, err)
	}
	if err := r.begin(ctx, l, in.From); err != nil {
		return err
	}
	before := l.at.Offset
	if err := l.give(in); err != nil {
		return err
	}
	if err := r.workOff(ctx, l); err != nil {
		return err
	}
	if r.Progress != nil {
		r.Progress(l.at.Offset - before)
	}
	return r.pass(ctx, l)
}

// finish takes what a live task has claimed behind the last record. A partition without any record has nothing else.
func (r *Local) finish(ctx context.Context, l *localLane) error {
	if len(l.controls) == 0 {
		return nil
	}
	if err := r.begin(ctx, l, l.controls[0].At.Offset); err != nil {
		return err
	}
	return r.controlsHere(ctx, l)
}

// begin lets the lane start where its input does. Of what came before only the control records are known.
func (r *Local) begin(ctx context.Context, l *localLane, from int64) error {
	if l.begun {
		return nil
	}
	l.begun = true
	if len(l.controls) > 0 {
		l.at.Step = l.controls[0].At.Step - 1
	}
	for len(l.controls) > 0 && l.controls[0].At.Offset < from {
		l.at.Offset = l.controls[0].At.Offset
		if err := r.controlsHere(ctx, l); err != nil {
			return err
		}
	}
	l.first, l.at.Offset = from, from
	return nil
}

// workOff works off the lane's input.
func (r *Local) workOff(ctx context.Context, l *localLane) error {
	for {
		if err := r.controlsHere(ctx, l); err != nil {
			return err
		}
		limit := int64(maxOffset)
		if len(l.controls) > 0 {
			limit = l.controls[0].At.Offset
		}
		why, err := l.work(ctx, limit, func(ctx context.Context) error { return r.stage(ctx, l) })
		if err != nil || why != limited {
			return err
		}
	}
}

// end shows what is still open and stages everything.
func (r *Local) end(ctx context.Context) error {
	for _, lanes := range [][]*localLane{r.first, r.second} {
		for _, l := range lanes {
			if err := l.chain.publish(ctx, l.at); err != nil {
				return err
			}
			if err := r.stage(ctx, l); err != nil {
				return err
			}
		}
		if err := r.drain(ctx); err != nil {
			return err
		}
	}
	for _, l := range r.second {
		if err := r.stage(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (r *Local) all() []*localLane { return append(append([]*localLane{}, r.first...), r.second...) }

func (r *Local) result() *LocalResult {
	res := &LocalResult{Ticks: r.ticks, CompleteThrough: stream.MaxTime}
	last := r.first
	if len(r.second) > 0 {
		last = r.second
	}
	for _, l := range r.first {
		ledger := l.chain.ledger()
		res.Ledger.Add(&ledger)
	}
	for _, l := range last {
		mark, _ := l.marker.Marks()
		res.CompleteThrough = min(res.CompleteThrough, mark)
	}
	return res
}

func (r *Local) close() error {
	var errs []error
	for _, l := range r.all() {
		if l.reader != nil {
			errs = append(errs, l.reader.Close())
		}
		errs = append(errs, l.chain.close())
	}
	return errors.Join(errs...)
}
