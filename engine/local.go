package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tidewatch/tidewatch/stream"
)

// Local runs a plan over bounded input in one goroutine, without claims: for replays and for the cases of a pipeline. The
// decoders, marks, operators and the re-keying are those of a Runner, so the answers are too.
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
	Clock stream.Clock

	plan   *Plan
	first  []*localLane
	second []*localLane
}

// LocalInput is one partition of the input.
type LocalInput struct {
	Partition  stream.Partition
	Partitions int32 // of the topic
	Open       func(ctx context.Context, d stream.Decoder) (stream.Reader, error)
}

// LocalResult tells what became of the input.
type LocalResult struct {
	Ledger          stream.Ledger // of the stages that read events
	CompleteThrough stream.Time   // lowest progress of the last stage
}

type localLane struct {
	*lane
	task    stream.TaskID
	reader  stream.Reader
	pending []*stream.Message // of an internal partition
	offset  int64             // next of an internal partition
	decoder stream.Decoder
	batch   *stream.Batch
	done    bool
}

// stageEvery is how many inputs pass between two stagings of sinks that keep rows.
const stageEvery = 64

// Run works off all inputs.
func (r *Local) Run(ctx context.Context, p *Plan, inputs []LocalInput) (res *LocalResult, err error) {
	r.plan, r.first, r.second = p, nil, nil
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx, inputs); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		l := lowest(r.first)
		if l == nil {
			break
		}
		if err := r.step(ctx, l); err != nil {
			return nil, err
		}
		if n%stageEvery == 0 {
			if err := r.stage(ctx, r.all()); err != nil {
				return nil, err
			}
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
		r.first = append(r.first, l)
		if l.decoder, err = stages[0].newDecoder(); err != nil {
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
		if l.decoder, err = stages[1].newDecoder(); err != nil {
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
	return &localLane{lane: l, task: tc.Task}, nil
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
		return nil
	}
	if err != nil {
		return fmt.Errorf("read from offset %d: %w", l.at.Offset, err)
	}
	before := l.at.Offset
	if in.From > l.at.Offset { // a replay begins where its files begin
		l.first, l.at.Offset = in.From, in.From
		before = in.From
	}
	if err := l.give(in); err != nil {
		return err
	}
	if err := l.runAll(ctx); err != nil {
		return err
	}
	if r.Progress != nil {
		r.Progress(l.at.Offset - before)
	}
	return r.flow(ctx)
}

// runAll works off the input; cuts mean nothing here but a new part.
func (l *localLane) runAll(ctx context.Context) error {
	for {
		why, err := l.run(ctx, maxOffset)
		if err != nil || why != cutting {
			return err
		}
		l.part = part{}
	}
}

// flow takes decisions, and moves progress and partials on to the second stage.
func (r *Local) flow(ctx context.Context) error {
	if len(r.second) > 0 {
		if err := r.stage(ctx, r.first); err != nil {
			return err
		}
	}
	for _, l := range r.second {
		if err := l.drainLog(ctx); err != nil {
			return err
		}
	}
	for _, l := range r.all() {
		for _, d := range l.chain.decisions {
			if r.Decide == nil {
				continue
			}
			if err := r.Decide(d); err != nil {
				return err
			}
		}
		l.chain.decisions = l.chain.decisions[:0]
	}
	return nil
}

// drainLog reads what the first stage has appended.
func (l *localLane) drainLog(ctx context.Context) error {
	for _, m := range l.pending {
		l.batch.Reset()
		if err := l.decoder.Decode(m, l.batch); err != nil {
			return err
		}
		if err := l.give(&stream.Input{Batch: l.batch, From: m.Offset, Next: m.Offset + 1, End: m.Offset + 1}); err != nil {
			return err
		}
		if err := l.runAll(ctx); err != nil {
			return err
		}
	}
	l.pending = l.pending[:0]
	return nil
}

// stage lets the sinks make durable and visible what is finished.
func (r *Local) stage(ctx context.Context, lanes []*localLane) error {
	for _, l := range lanes {
		mark, record := l.marker.Marks()
		e := stream.Epoch{
			At: l.at, Mark: mark, RecordMark: record, Ledger: l.chain.ledger(), Snapshot: true,
			Prefix: objectPrefix(l.task, l.at, "local"),
		}
		for _, o := range l.chain.outputs {
			work := o.Sink.Stage(e)
			if work == nil {
				continue
			}
			receipt, err := work(ctx)
			if err != nil {
				return fmt.Errorf("stage output %s: %w", o.Name, err)
			}
			if len(receipt) == 0 {
				continue
			}
			if err := o.Sink.Reveal(ctx, receipt); err != nil {
				return fmt.Errorf("reveal output %s: %w", o.Name, err)
			}
		}
	}
	return nil
}

// tick lets an idle tick take effect in every partition of the first stage: progress at least to mark.
func (r *Local) tick(ctx context.Context, mark stream.Time) error {
	for _, l := range r.first {
		if err := l.publishTick(ctx, mark); err != nil {
			return err
		}
	}
	return r.flow(ctx)
}

func (l *localLane) publishTick(ctx context.Context, mark stream.Time) error {
	at := l.at
	at.Step++
	return l.control(ctx, &stream.Control{Kind: controlTick, At: at, Mark: mark})
}

// end shows what is still open and stages everything.
func (r *Local) end(ctx context.Context) error {
	for _, lanes := range [][]*localLane{r.first, r.second} {
		for _, l := range lanes {
			if err := l.chain.publish(ctx, l.at); err != nil {
				return err
			}
		}
		if err := r.flow(ctx); err != nil {
			return err
		}
	}
	return r.stage(ctx, r.all())
}

func (r *Local) all() []*localLane { return append(append([]*localLane{}, r.first...), r.second...) }

func (r *Local) result() *LocalResult {
	res := &LocalResult{CompleteThrough: stream.MaxTime}
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

// memoryLog is the internal topic of a local run: what is appended waits in the lanes of the second stage.
type memoryLog struct{ r *Local }

// Append implements LogWriter.
func (m memoryLog) Append(_ context.Context, partition int32, value []byte) error {
	l := m.r.second[partition]
	l.pending = append(l.pending, &stream.Message{Offset: l.offset, Value: value})
	l.offset++
	return nil
}

// Flush implements LogWriter: memory needs none.
func (m memoryLog) Flush(context.Context) error { return nil }

// Close implements LogWriter.
func (m memoryLog) Close() error { return nil }
