package streamtest

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// SourceHarness tells RunSource what a log holds and how a source reads it.
type SourceHarness struct {
	// Log is every record that readers can see, in the order of their offsets; offsets of no record are gaps. What must come
	// out is what Decoder makes of it.
	Log     []stream.Message
	Decoder func() stream.Decoder
	// First and End bound the log: readers open at First up to End.
	First, End int64
	// Ways open readers of the same log that cut it otherwise: other portions, other files, a source that is shared. At least one.
	Ways []SourceWay
	// Bounded input ends with io.EOF; other input goes on, and a reader at the end returns inputs without rows.
	Bounded bool
	// FromFirst says that readers open at First only: their source is read as a whole.
	FromFirst bool
	// Histories is how often each demand is tried; 0 is 30.
	Histories int

	// What follows is optional.

	// Source is assigned one partition or several, and Partition is among them.
	Source    func(t testing.TB) stream.Source
	Partition stream.Partition
	// Controls asks the source for the control records that go with the log; WantControls are those, in the order of their
	// versions.
	Controls     func(t testing.TB) ([]stream.Control, error)
	WantControls []stream.Control
	// Blocked is a reader whose Read waits for something that does not come.
	Blocked func(t testing.TB) stream.Reader
	// Grow appends records to a log that Open reads from its end on, and returns them with their offsets.
	Grow func(t testing.TB) (r stream.Reader, grow func() []stream.Message)
	// Away is a way to open readers while what they read from is away now and then: flip changes that. What they return
	// then is an error of the kind Retry.
	Away func(t testing.TB) (way SourceWay, flip func(away bool))
	// Broken provokes errors that name what is wrong: of Open, or of the Read after it.
	Broken []SourceFault

	patience time.Duration // of the suite's own tests
}

// SourceWay is a way to open readers. Reading goes on until the reader is closed; what it needs ends with t.
type SourceWay struct {
	Name string
	Open func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error)
}

// SourceFault is something that goes wrong, and the kind of error that tells of it.
type SourceFault struct {
	Name string
	Kind stream.ErrorKind
	Open func(t testing.TB) (stream.Reader, error)
}

// quickly is how soon a call returns that has nothing to wait for any more. Machines that test are slow.
const quickly = 5 * time.Second

// RunSource checks the readers of a source against the contract of stream.Source and stream.Reader: the same offset gives
// the same events, whatever the portions, in whichever reader, however often.
func RunSource(t *testing.T, h SourceHarness) {
	t.Helper()
	runParts(t, sourceParts(h))
}

func sourceParts(h SourceHarness) []part {
	if h.Histories == 0 {
		h.Histories = 30
	}
	if h.patience == 0 {
		h.patience = quickly
	}
	r := &sourceRun{SourceHarness: h}
	parts := []part{
		{"the whole log, in every way", r.whole},
		{"any position gives what follows it", r.anywhere},
		{"a restart repeats nothing and skips nothing", r.restarts},
		{"readers do not disturb each other", r.several},
		{"what was returned belongs to the caller", r.owned},
		{"the end", r.end},
		{"offsets outside of the log are refused", r.outside},
		{"a decoder's own failure is no rejection", r.decoderFails},
		{"a cancelled read returns quickly and loses nothing", r.cancelled},
		{"Close may be repeated", r.closed},
	}
	for _, p := range []struct {
		there bool
		part  part
	}{
		{h.Source != nil, part{"an assignment ends with its context", r.assigned}},
		{h.Controls != nil, part{"control records have their places", r.controls}},
		{h.Blocked != nil, part{"a read that waits can be cancelled", r.blocked}},
		{h.Grow != nil, part{"what is appended comes", r.grows}},
		{h.Away != nil, part{"what is away is tried again", r.away}},
	} {
		if p.there {
			parts = append(parts, p.part)
		}
	}
	for _, f := range h.Broken {
		parts = append(parts, part{"broken: " + f.Name, func(t testing.TB) { r.broken(t, f) }})
	}
	return parts
}

type sourceRun struct {
	SourceHarness
	all []line // of the log
}

func (r *sourceRun) whole(t testing.TB) {
	for _, w := range r.Ways {
		rd := r.open(t, w, r.First)
		rd.readTo(r.End)
		rd.finish()
	}
}

// start draws a position: mostly one of a record, now and then within a gap or at the end.
func (r *sourceRun) start(rng *rand.Rand) int64 {
	switch {
	case r.FromFirst:
		return r.First
	case len(r.Log) == 0 || rng.IntN(4) == 0:
		return r.First + rng.Int64N(r.End-r.First+1)
	}
	return r.Log[rng.IntN(len(r.Log))].Offset + rng.Int64N(2)
}

func (r *sourceRun) way(rng *rand.Rand) SourceWay { return r.Ways[rng.IntN(len(r.Ways))] }

func (r *sourceRun) anywhere(t testing.TB) {
	histories(t, r.Histories, func(t testing.TB, rng *rand.Rand, _ int) {
		rd := r.open(t, r.way(rng), r.start(rng))
		rd.readTo(r.End)
		rd.finish()
	})
}

// restarts closes readers in the middle, and opens the next one where a task would: anywhere up to what was read.
func (r *sourceRun) restarts(t testing.TB) {
	histories(t, r.Histories, func(t testing.TB, rng *rand.Rand, _ int) {
		at := r.start(rng)
		for range 1 + rng.IntN(4) {
			rd := r.open(t, r.way(rng), at)
			for range rng.IntN(4) {
				rd.read()
			}
			rd.finish()
			if !r.FromFirst {
				at += rng.Int64N(rd.next - at + 1)
			}
		}
		rd := r.open(t, r.way(rng), at)
		rd.readTo(r.End)
		rd.finish()
	})
}

func (r *sourceRun) several(t testing.TB) {
	histories(t, r.Histories, func(t testing.TB, rng *rand.Rand, _ int) {
		w := r.way(rng)
		var open []*reading
		for range 2 + rng.IntN(2) {
			open = append(open, r.open(t, w, r.start(rng)))
		}
		for len(open) > 0 {
			i := rng.IntN(len(open))
			rd := open[i]
			if rd.next < r.End && !rd.read() {
				continue
			}
			rd.complete()
			rd.finish()
			open = slices.Delete(open, i, i+1)
		}
	})
}

// owned overwrites every input before the next read.
func (r *sourceRun) owned(t testing.TB) {
	histories(t, r.Histories, func(t testing.TB, rng *rand.Rand, _ int) {
		rd := r.open(t, r.way(rng), r.start(rng))
		rd.spoils = true
		rd.readTo(r.End)
		rd.finish()
	})
}

func (r *sourceRun) end(t testing.TB) {
	for _, w := range r.Ways {
		from := r.End
		if r.FromFirst {
			from = r.First
		}
		rd := r.open(t, w, from)
		rd.readTo(r.End)
		for range 2 {
			rd.atEnd()
		}
		rd.finish()
	}
}

func (r *sourceRun) outside(t testing.TB) {
	if r.FromFirst {
		t.Skip("readers open at the first offset only")
	}
	for _, w := range r.Ways {
		for _, offset := range []int64{r.First - 1, r.End + 1, r.End + 1000} {
			if offset < 0 {
				continue
			}
			rd, err := w.Open(t, offset, r.Decoder())
			if err == nil {
				_, err = rd.Read(t.Context())
				_ = rd.Close()
			}
			if err == nil || stream.KindOfError(err) != stream.Fatal {
				t.Errorf("%s: open at %d of a log from %d to %d: %v; want a Fatal error that explains it", w.Name, offset, r.First, r.End, err)
			}
		}
	}
}

func (r *sourceRun) closed(t testing.TB) {
	for _, w := range r.Ways {
		for reads := range 3 {
			rd := r.open(t, w, r.First)
			for range reads {
				rd.read()
			}
			for range 3 {
				if err := rd.r.Close(); err != nil {
					t.Errorf("%s: close after %d reads: %v", w.Name, reads, err)
				}
			}
		}
	}
}

func (r *sourceRun) assigned(t testing.TB) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	patience, end := context.WithTimeout(t.Context(), 6*r.patience)
	defer end()
	gained := make(chan []stream.Partition, 8)
	held := map[stream.Partition]bool{} // of the goroutine of Assign, then ours
	ended := make(chan struct{})
	source := r.Source(t)
	go func() {
		defer close(ended)
		_ = source.Assign(ctx, func(more, less []stream.Partition) error {
			for _, p := range more {
				held[p] = true
			}
			for _, p := range less {
				delete(held, p)
			}
			gained <- more
			return nil
		})
	}()
	for found := false; !found; {
		select {
		case more := <-gained:
			for _, p := range more {
				found = found || p == r.Partition
			}
		case <-ended:
			t.Fatal("the assignment ended before it was told to")
		case <-patience.Done():
			t.Fatal("no partition is assigned")
		}
	}
	cancel()
	select {
	case <-ended:
		if len(held) > 0 {
			t.Errorf("the assignment ended, but %v were not taken back", held)
		}
	case <-patience.Done():
		t.Error("the assignment goes on without its context")
	}
}

func (r *sourceRun) grows(t testing.TB) {
	rd, grow := r.Grow(t)
	var got []string
	for range 3 {
		more := grow()
		want, _ := expected(t, r.Decoder(), more)
		ctx, cancel := context.WithTimeout(t.Context(), r.patience)
		for len(got) < len(want) {
			in, err := rd.Read(ctx)
			if err != nil {
				t.Fatalf("%d rows have come of %d that were appended: %v", len(got), len(want), err)
			}
			if got = append(got, inputLines(in)...); ctx.Err() != nil {
				t.Fatalf("%d rows have come of %d that were appended", len(got), len(want))
			}
		}
		cancel()
		if d := diffLines(got, linesOf(want)); d != "" {
			t.Fatalf("of what was appended %s", d)
		}
		got = got[:0]
	}
	if err := rd.Close(); err != nil {
		t.Error(err)
	}
}

func (r *sourceRun) broken(t testing.TB, f SourceFault) {
	rd, err := f.Open(t)
	if err == nil {
		defer func() { _ = rd.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), r.patience)
		defer cancel()
		for err == nil && ctx.Err() == nil {
			_, err = rd.Read(ctx)
		}
	}
	if err == nil || stream.KindOfError(err) != f.Kind {
		t.Errorf("error %v of kind %v, want kind %v", err, stream.KindOfError(err), f.Kind)
	}
}
