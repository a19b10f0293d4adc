package streamtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// line is a record as it must come out.
type line struct {
	offset int64
	text   string
}

func linesOf(lines []line) []string {
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.text
	}
	return texts
}

// expected decodes the log: the lines of rows and of rejected records, in the order of their offsets.
func expected(t testing.TB, d stream.Decoder, log []stream.Message) (lines []line, rejected int) {
	t.Helper()
	b := stream.NewBatch(d.Schema())
	for _, m := range log {
		b.Reset()
		err := d.Decode(&m, b)
		switch {
		case err == nil:
			b.Settle()
			for i := range b.Len() {
				lines = append(lines, line{m.Offset, rowText(b, i)})
			}
		case stream.KindOfError(err) == stream.Reject:
			rejected++
			r := stream.Rejected{Offset: m.Offset, Timestamp: m.Timestamp, Reason: err.Error(), Key: m.Key, Raw: m.Value}
			if r.Timestamp == stream.MaxTime { // of a file, which has no clock
				r.Timestamp = 0
			}
			lines = append(lines, line{m.Offset, rejectedText(&r)})
		default:
			t.Fatal(err)
		}
	}
	return lines, rejected
}

func rejectedText(r *stream.Rejected) string {
	return fmt.Sprintf("rejected %d at %d: %s: %q %q", r.Offset, r.Timestamp, r.Reason, r.Key, r.Raw)
}

// inputLines are the lines of an input by offset.
func inputLines(in *stream.Input) []string {
	var texts []string
	dead := in.Rejected
	for i := range in.Batch.Len() {
		for len(dead) > 0 && dead[0].Offset < in.Batch.Offset[i] {
			texts, dead = append(texts, rejectedText(&dead[0])), dead[1:]
		}
		texts = append(texts, rowText(in.Batch, i))
	}
	for i := range dead {
		texts = append(texts, rejectedText(&dead[i]))
	}
	return texts
}

// reading is an open reader and what is known of it.
type reading struct {
	t      testing.TB
	h      *sourceRun
	name   string
	r      stream.Reader
	want   []line // from next on
	next   int64
	end    int64 // of the log, as last told
	spoils bool
	dicts  map[dictEntry]string
	last   *stream.Input
}

// dictEntry is a number that a reader has given to a string.
type dictEntry struct {
	dict       *stream.Dict
	generation uint64
	id         uint32
}

func (r *sourceRun) open(t testing.TB, w SourceWay, offset int64) *reading {
	t.Helper()
	opened, err := w.Open(t, offset, r.Decoder())
	if err != nil {
		t.Fatalf("%s: open at %d: %v", w.Name, offset, err)
	}
	rd := &reading{t: t, h: r, name: fmt.Sprintf("%s from %d", w.Name, offset), r: opened, next: offset, end: -1, dicts: map[dictEntry]string{}}
	if r.all == nil {
		r.all, _ = expected(t, r.Decoder(), r.Log)
	}
	rd.want = r.all
	at, _ := slices.BinarySearchFunc(rd.want, offset, func(l line, o int64) int { return int(min(max(l.offset-o, -1), 1)) })
	rd.want = rd.want[at:]
	return rd
}

// readTo reads until the next offset is to, or no record is left before it.
func (rd *reading) readTo(to int64) {
	rd.t.Helper()
	for idle := 0; rd.next < to; idle++ {
		before := rd.next
		if rd.read() {
			break
		}
		if rd.next > before {
			idle = 0
		}
		if idle > 200 {
			rd.t.Fatalf("%s: nothing comes behind %d, but the log ends at %d", rd.name, rd.next, to)
		}
	}
	rd.complete()
}

// complete checks that nothing is left to come.
func (rd *reading) complete() {
	rd.t.Helper()
	if len(rd.want) > 0 {
		rd.t.Fatalf("%s: it is over at %d without %s", rd.name, rd.next, rd.want[0].text)
	}
}

// read reads once, and reports whether the input is over.
func (rd *reading) read() (over bool) {
	rd.t.Helper()
	in, err := rd.r.Read(rd.t.Context())
	if errors.Is(err, io.EOF) && rd.h.Bounded {
		return true
	}
	if err != nil {
		rd.t.Fatalf("%s: read at %d: %v", rd.name, rd.next, err)
	}
	rd.take(in)
	return false
}

// take compares an input with what must come.
func (rd *reading) take(in *stream.Input) {
	rd.t.Helper()
	rd.last = in
	if in.From != rd.next || in.Next < in.From {
		rd.t.Fatalf("%s: an input of offsets %d to %d follows on %d", rd.name, in.From, in.Next, rd.next)
	}
	if in.End != -1 && (in.End < in.Next || in.End < rd.end) {
		rd.t.Fatalf("%s: the log ends at %d, after an end at %d and an input up to %d", rd.name, in.End, rd.end, in.Next)
	}
	rd.end = max(rd.end, in.End)
	rd.consistent(in.Batch)
	until, _ := slices.BinarySearchFunc(rd.want, in.Next, func(l line, o int64) int { return int(min(max(l.offset-o, -1), 1)) })
	if d := diffLines(inputLines(in), linesOf(rd.want[:until])); d != "" {
		rd.t.Fatalf("%s: in the input of offsets %d to %d %s", rd.name, in.From, in.Next, d)
	}
	rd.want, rd.next = rd.want[until:], in.Next
	if rd.spoils {
		spoil(in.Batch, false)
		for i := range in.Rejected {
			fill(in.Rejected[i].Raw, '!')
			fill(in.Rejected[i].Key, '!')
		}
	}
}

// consistent checks the form of a batch of events, and that a number of a dictionary goes on meaning the same.
func (rd *reading) consistent(b *stream.Batch) {
	rd.t.Helper()
	if err := checkBatch(b); err != nil {
		rd.t.Fatalf("%s: %v", rd.name, err)
	}
	for c := range b.Cols {
		col := &b.Cols[c]
		if col.Dict == nil {
			continue
		}
		for i, id := range col.IDs {
			if col.IsNull(i) {
				continue
			}
			at := dictEntry{col.Dict, col.Dict.Generation(), id}
			if before, ok := rd.dicts[at]; ok && before != col.Text(i) {
				rd.t.Fatalf("%s: number %d of the column %s was %q and is %q now", rd.name, id, b.Schema.Fields[c].Name, before, col.Text(i))
			}
			rd.dicts[at] = col.Text(i)
		}
	}
}

// checkBatch checks the lengths that the contract of a batch promises.
func checkBatch(b *stream.Batch) error {
	n := b.Len()
	for i, c := range b.Cols {
		if c.Kind != b.Schema.Fields[i].Kind || c.Len() != n || len(c.Null) != 0 && len(c.Null) != n {
			return fmt.Errorf("the column %s has %d values of kind %s and %d nulls, in a batch of %d rows", b.Schema.Fields[i].Name, c.Len(), c.Kind, len(c.Null), n)
		}
	}
	if len(b.Cols) != len(b.Schema.Fields) {
		return fmt.Errorf("a batch has %d columns, its schema %d", len(b.Cols), len(b.Schema.Fields))
	}
	for name, length := range map[string]int{
		"time": len(b.Time), "mark": len(b.Mark), "offset": len(b.Offset), "producer": len(b.Producer), "timestamp": len(b.Timestamp),
		"bytes": len(b.Bytes), "slot": len(b.Slot),
	} {
		if length != 0 && length != n {
			return fmt.Errorf("the event column %s has %d values, in a batch of %d rows", name, length, n)
		}
	}
	return nil
}

// atEnd reads where nothing is left.
func (rd *reading) atEnd() {
	rd.t.Helper()
	in, err := rd.r.Read(rd.t.Context())
	ctx, cancel := context.WithTimeout(rd.t.Context(), rd.h.patience)
	defer cancel()
	for err == nil && in.End < 0 && !rd.h.Bounded && ctx.Err() == nil {
		rd.take(in) // nobody has said yet where the end is
		in, err = rd.r.Read(rd.t.Context())
	}
	switch {
	case rd.h.Bounded && !errors.Is(err, io.EOF):
		rd.t.Fatalf("%s: behind the end: %v, want io.EOF", rd.name, err)
	case rd.h.Bounded:
	case err != nil:
		rd.t.Fatalf("%s: behind the end: %v, want an input without rows", rd.name, err)
	default:
		if rd.take(in); in.Next != in.From || in.Batch.Len() > 0 || len(in.Rejected) > 0 || in.End != rd.h.End {
			rd.t.Fatalf("%s: behind the end at %d came offsets %d to %d, %d rows, end %d", rd.name, rd.h.End, in.From, in.Next, in.Batch.Len(), in.End)
		}
	}
}

func (rd *reading) finish() {
	rd.t.Helper()
	if err := rd.r.Close(); err != nil {
		rd.t.Fatalf("%s: close: %v", rd.name, err)
	}
}

// cancelled reads with contexts that are done already, in between.
func (r *sourceRun) cancelled(t testing.TB) {
	histories(t, r.Histories, func(t testing.TB, rng *rand.Rand, _ int) {
		rd := r.open(t, r.way(rng), r.start(rng))
		done, cancel := context.WithCancel(t.Context())
		cancel()
		for over := false; !over && rd.next < r.End; {
			if rng.IntN(2) == 0 {
				over = rd.read()
				continue
			}
			in, err := rd.r.Read(done)
			switch {
			case errors.Is(err, io.EOF):
				over = true
			case err == nil:
				rd.take(in)
			case !errors.Is(err, context.Canceled):
				t.Fatalf("%s: a cancelled read: %v, want context.Canceled", rd.name, err)
			}
		}
		rd.complete()
		rd.finish()
	})
}

// noticed is a context that tells when somebody has asked for its end, as whoever waits with it does.
type noticed struct {
	context.Context //nolint:containedctx // it is one
	once            sync.Once
	asked           chan struct{}
}

// Done implements context.Context.
func (n *noticed) Done() <-chan struct{} {
	n.once.Do(func() { close(n.asked) })
	return n.Context.Done()
}

func (r *sourceRun) blocked(t testing.TB) {
	rd := r.Blocked(t)
	inner, cancel := context.WithCancel(t.Context())
	defer cancel()
	ctx := &noticed{Context: inner, asked: make(chan struct{})}
	patience, end := context.WithTimeout(t.Context(), r.patience)
	defer end()
	returned := make(chan error, 1)
	go func() {
		_, err := rd.Read(ctx)
		returned <- err
	}()
	select {
	case err := <-returned:
		t.Fatalf("the read that was to wait returned: %v", err)
	case <-ctx.asked:
	case <-patience.Done(): // the read does not look at its context
	}
	cancel()
	select {
	case err := <-returned:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a read that was cancelled returned %v", err)
		}
	case <-patience.Done():
		t.Fatal("a read goes on without its context")
	}
	if err := rd.Close(); err != nil {
		t.Error(err)
	}
}

// errDecoder is what the decoder of a test fails with: nobody has given it a kind.
var errDecoder = errors.New("the decoder is broken")

// failing is a decoder that fails at one record.
type failing struct {
	stream.Decoder
	at   int64
	used bool
}

// Decode implements stream.Decoder.
func (f *failing) Decode(m *stream.Message, b *stream.Batch) error {
	f.used = true
	if m.Offset == f.at {
		return errDecoder
	}
	return f.Decoder.Decode(m, b)
}

// decoderFails: an error that is no rejection ends the reading; it must not look like a record that was read.
func (r *sourceRun) decoderFails(t testing.TB) {
	if len(r.Log) == 0 {
		t.Skip("the log is empty")
	}
	for _, w := range r.Ways {
		d := &failing{Decoder: r.Decoder(), at: r.Log[len(r.Log)/2].Offset}
		rd, err := w.Open(t, r.First, d)
		if err != nil {
			t.Fatal(err)
		}
		next := r.First
		for err == nil && next < r.End {
			var in *stream.Input
			if in, err = rd.Read(t.Context()); err == nil {
				next = in.Next
			}
		}
		_ = rd.Close()
		if !d.used {
			continue // the source keeps what another decoder made
		}
		if !errors.Is(err, errDecoder) || stream.KindOfError(err) != stream.Fatal || next > d.at {
			t.Errorf("%s: the decoder fails at %d; the reader has come to %d, and says: %v", w.Name, d.at, next, err)
		}
	}
}

// controls asks twice: control records do not change, and stand where they took effect.
func (r *sourceRun) controls(t testing.TB) {
	for range 2 {
		got, err := r.Controls(t)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, r.WantControls) {
			t.Fatalf("control records\n%+v, want\n%+v", got, r.WantControls)
		}
		for i, c := range got {
			if c.At.Offset < r.First || c.At.Offset > r.End || i > 0 && c.At.Compare(got[i-1].At) <= 0 {
				t.Errorf("control record %d of %d takes effect at %+v, in a log from %d to %d", i, len(got), c.At, r.First, r.End)
			}
		}
	}
}

// away reads while the store or broker comes and goes.
func (r *sourceRun) away(t testing.TB) {
	histories(t, min(r.Histories, 10), func(t testing.TB, rng *rand.Rand, _ int) {
		w, flip := r.Away(t)
		flip(false)
		rd := r.open(t, w, r.start(rng))
		failures := 0
		for over := false; !over && rd.next < r.End; {
			away := failures < 3 && rng.IntN(2) == 0
			flip(away)
			in, err := rd.r.Read(t.Context())
			switch {
			case errors.Is(err, io.EOF) && rd.h.Bounded:
				over = true
			case err == nil:
				rd.take(in)
			case away && stream.KindOfError(err) == stream.Retry:
				failures++
			case stream.KindOfError(err) == stream.Retry && failures > 0: // it had asked while the other was away
				failures++
			default:
				t.Fatalf("%s: read while what it reads is away (%v): %v, want an error of kind Retry", rd.name, away, err)
			}
			if failures > 100 {
				t.Fatalf("%s: it does not recover: %v", rd.name, err)
			}
		}
		rd.complete()
		rd.finish()
	})
}
