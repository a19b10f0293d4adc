package engine

import (
	"context"
	"fmt"
	"math"

	"github.com/tidewatch/tidewatch/engine/rekey"
	"github.com/tidewatch/tidewatch/stream"
)

// lane is the pure part of a task: marks, operators and outputs over one partition, without commits. What it has computed
// at a version depends on the records below it and on the control records applied, on nothing else. It belongs to one
// goroutine.
type lane struct {
	stage  *Stage
	chain  *chain
	marker stream.Marker
	grids  stream.Grids
	first  int64 // the task's first offset
	at     stream.Version

	mark, record stream.Time // progress that the operators have been told

	in       *stream.Input // being worked off
	row      int           // next row of in
	rejected int           // next of in.Rejected

	aside  map[int64]*stream.Control // quarantined records that may come still
	alone  inWork                    // records that are worked off one by one
	busy   inWork                    // records in work
	passed int64                     // the newest record that was worked off
	raised stream.Version            // at which the newest quarantine took effect

	inherited func(ctx context.Context, i *stream.Inheritance) (*stream.StateReader, error) // gets the snapshot of another version

	stateBytes int // of the newest snapshot

	skew      skewTable // of the producers, of a stage that reads events
	part      part      // of a stage with cuts
	view, sub stream.Batch
	marks     []stream.Time
	gaps      stream.Gaps // explains the ledger's; no state, since compaction changes what a replay sees
	onReject  func(ctx context.Context, r []stream.Rejected) error
}

// part is what has been read since the last cut.
type part struct {
	records, bytes int64
	slot           stream.Time
}

// stop says why run returned.
type stop uint8

const (
	exhausted stop = iota // the input is worked off
	limited               // the limit is reached
	cutting               // the next record begins a new part
)

func newLane(ctx context.Context, s *Stage, tc TaskContext, first int64) (*lane, error) {
	steps, err := s.NewSteps(tc)
	if err != nil {
		return nil, fmt.Errorf("build operators of %s: %w", tc.Task, err)
	}
	outputs, err := s.NewSinks(ctx, tc)
	if err != nil {
		return nil, fmt.Errorf("open outputs of %s: %w", tc.Task, err)
	}
	if s.Internal != "" {
		sink := rekey.NewSink(tc.Internal, tc.Task.Partition.Number, tc.Partitions, s.InternalPartitions)
		outputs = append(outputs, Output{Name: rekeyOutput, Of: steps[len(steps)-1].Name, Phases: []stream.Phase{stream.Partial}, Sink: sink})
	}
	c, err := newChain(steps, outputs)
	if err != nil {
		return nil, err
	}
	c.gate = s.Window
	if s.Keyed != nil {
		c.keys = &keySample{of: s.Keyed}
	}
	l := &lane{
		stage: s, chain: c, grids: c.grids(), first: first, at: stream.Version{Offset: first}, mark: stream.NoTime, record: stream.NoTime,
		aside: map[int64]*stream.Control{}, passed: math.MinInt64,
	}
	if s.Partial != nil {
		l.marker = rekey.NewMarker()
	} else {
		l.marker = newFrontMarker(s.Time)
	}
	return l, nil
}

// rekeyOutput names the internal topic's sink in receipts and messages.
const rekeyOutput = "rekey"

// newDecoder makes the decoder of the lane.
func (l *lane) newDecoder() (d stream.Decoder, err error) {
	if l.stage.Partial != nil {
		return &guarded{rekey.NewDecoder(l.stage.Partial), l.aside}, nil
	}
	if d, err = l.stage.NewDecoder(); err != nil {
		return nil, err
	}
	return &guarded{d, l.aside}, nil
}

// give hands the lane its next input, which starts where the lane stands.
func (l *lane) give(in *stream.Input) error {
	if in.From > l.at.Offset || in.Next < in.From {
		return fmt.Errorf("read input: it covers offsets %d to %d, but offset %d is next", in.From, in.Next, l.at.Offset)
	}
	l.in, l.row, l.rejected = in, 0, 0
	if in.Batch != nil && l.stage.Partial == nil {
		l.skew.look(in.Batch)
	}
	return nil
}

// run works off the input up to the offset limit, or up to the next cut.
func (l *lane) run(ctx context.Context, limit int64) (stop, error) {
	for {
		lo, hi, why := l.bounds(limit)
		if lo == hi {
			return why, l.settle(ctx, limit, why)
		}
		if err := l.rows(ctx, lo, hi); err != nil {
			return why, err
		}
	}
}

// bounds is the span of rows to process next, and why it ends there.
func (l *lane) bounds(limit int64) (lo, hi int, why stop) {
	b := l.in.Batch
	if b == nil {
		return 0, 0, endOf(l.in, limit)
	}
	hi, why = b.Len(), endOf(l.in, limit)
	if why == limited {
		hi = l.row
		for hi < b.Len() && b.Offset[hi] < limit {
			hi++
		}
	}
	if l.alone.from < l.alone.to && l.row < hi {
		hi = l.single(hi)
	}
	if l.stage.Cut != nil {
		if at := l.cutRow(hi); at < hi {
			return l.row, at, cutting
		}
	}
	return l.row, hi, why
}

func endOf(in *stream.Input, limit int64) stop {
	if in.Next > limit {
		return limited
	}
	return exhausted
}

// cutRow is the first row from the present one on, below hi, that begins a new part.
func (l *lane) cutRow(hi int) int {
	b, p, c := l.in.Batch, l.part, l.stage.Cut
	for i := l.row; i < hi; i++ {
		slot, size := b.Timestamp[i].Floor(c.Slot), int64(b.Bytes[i])
		if p.records > 0 && (p.records >= c.Records || p.bytes+size > c.Bytes || slot > p.slot) {
			return i
		}
		if p.records == 0 {
			p.slot = slot
		}
		p.records, p.bytes = p.records+1, p.bytes+size
	}
	return hi
}

// rows processes rows lo to hi, or up to the first that crosses a point of the grid, where it advances the operators.
func (l *lane) rows(ctx context.Context, lo, hi int) (err error) {
	b := l.in.Batch
	l.busy = inWork{b.Offset[lo], b.Offset[hi-1] + 1}
	defer blame(&err, &l.busy)
	b.View(&l.view, lo, hi)
	l.view.Mark = l.marks[:0]
	n := l.marker.Fold(&l.view, 0, l.grids.Next(l.mark), l.grids.Next(l.record))
	l.marks = l.view.Mark
	rows := &l.view
	if n < l.view.Len() {
		l.view.View(&l.sub, 0, n)
		l.sub.Mark = l.marks[:n]
		rows = &l.sub
	}
	l.count(b, lo, lo+n)
	next := b.Offset[lo+n-1] + 1
	l.busy.to = next
	if err := l.chain.process(ctx, rows); err != nil {
		return err
	}
	l.row = lo + n
	l.busy.from = next - 1
	if err := l.passTo(ctx, next, lo); err != nil {
		return err
	}
	if err := l.climb(ctx, false); err != nil {
		return err
	}
	l.passed = next - 1
	return nil
}

// count keeps the size of the part.
func (l *lane) count(b *stream.Batch, lo, hi int) {
	if l.stage.Cut == nil {
		return
	}
	if l.part.records == 0 {
		l.part.slot = b.Timestamp[lo].Floor(l.stage.Cut.Slot)
	}
	for _, size := range b.Bytes[lo:hi] {
		l.part.bytes += int64(size)
	}
	l.part.records += int64(hi - lo)
}

// settle moves the position to where the run ended: behind the last offset of the input, to the limit, or to the record
// that begins the next part.
func (l *lane) settle(ctx context.Context, limit int64, why stop) error {
	to := l.in.Next
	switch why {
	case limited:
		to = limit
	case cutting:
		to = l.in.Batch.Offset[l.row]
	case exhausted:
	}
	return l.passTo(ctx, max(to, l.at.Offset), l.row)
}

// passTo accounts for every offset below next: rows processed since row from, rejected records, gaps.
func (l *lane) passTo(ctx context.Context, next int64, from int) error {
	if next <= l.at.Offset {
		return nil
	}
	var records int64
	if b := l.in.Batch; b != nil {
		records = distinct(b.Offset[from:l.row])
	}
	l.chain.events += records
	first := l.rejected
	for l.rejected < len(l.in.Rejected) && l.in.Rejected[l.rejected].Offset < next {
		l.rejected++
	}
	dead := l.in.Rejected[first:l.rejected]
	l.gaps.Pass(l.in.Gaps, l.at.Offset, next)
	quarantined := l.label(dead)
	l.chain.counts[stream.BucketQuarantined] += quarantined
	l.chain.counts[stream.BucketRejected] += int64(len(dead)) - quarantined
	l.chain.counts[stream.BucketGap] += next - l.at.Offset - records - int64(len(dead))
	l.at.Offset = next
	if len(dead) > 0 && l.onReject != nil {
		return l.onReject(ctx, dead)
	}
	return nil
}

// distinct counts the records that the rows come from; a record of an internal topic holds many rows.
func distinct(offsets []int64) (n int64) {
	last := int64(math.MinInt64)
	for _, o := range offsets {
		if o != last {
			n, last = n+1, o
		}
	}
	return n
}

// control lets a claimed control record take effect at the present offset.
func (l *lane) control(ctx context.Context, c *stream.Control) (err error) {
	defer blame(&err, nil)
	l.at.Step++
	if c.At != l.at {
		return fmt.Errorf("apply control record: it takes effect at %v, but the task stands at %v", c.At, l.at)
	}
	switch c.Kind {
	case controlTick:
		l.marker.Tick(c.Mark)
		l.chain.control(c)
		return l.climb(ctx, true)
	case controlQuarantine:
		l.setAside(c)
		l.raised = l.at
		l.chain.control(c)
		return nil
	case controlUntil:
		l.chain.span.until = c.Cut
		return nil
	case controlSince:
		l.chain.span.since = c.Cut
		return l.inherit(ctx, c)
	}
	return fmt.Errorf("apply control record: unknown kind %q; a newer version of tidewatch wrote it", c.Kind)
}

// The kinds of control records.
const (
	controlTick       = "tick"       // the partition is idle
	controlQuarantine = "quarantine" // the next record is set aside
	controlUntil      = "until"      // the next version of the pipeline begins at the cut
	controlSince      = "since"      // this version of the pipeline begins at the cut
)

// snapshot writes the state at the present version.
func (l *lane) snapshot() (_ *state, err error) {
	defer blame(&err, nil)
	w := stream.NewStateWriter()
	w.Grow(l.stateBytes + l.stateBytes/8)
	w.Scope("engine/")
	w.Section("position", 1)
	w.Int(l.first)
	w.Int(l.at.Offset)
	w.Uint(uint64(l.at.Step))
	l.chain.span.snapshot(w)
	l.snapshotAside(w)
	w.Scope("marks/")
	if err := l.marker.Snapshot(w); err != nil {
		return nil, fmt.Errorf("snapshot marks: %w", err)
	}
	if err := l.chain.snapshot(w); err != nil {
		return nil, err
	}
	s := &state{data: w.Finish(), ends: w.Blocks()}
	l.stateBytes = len(s.data)
	return s, nil
}

// restore reads the state into a fresh lane.
func (l *lane) restore(r *stream.StateReader) error {
	r.Scope("engine/")
	if version, _ := r.Section("position"); version != 1 {
		return fmt.Errorf("restore position: section version %d, want 1", version)
	}
	l.first, l.at = r.Int(), stream.Version{Offset: r.Int(), Step: uint32(r.Uint())}
	l.chain.span.restore(r)
	l.restoreAside(r)
	r.Scope("marks/")
	if err := l.marker.Restore(r); err != nil {
		return err
	}
	l.mark, l.record = l.marker.Marks()
	return l.chain.restore(r)
}
