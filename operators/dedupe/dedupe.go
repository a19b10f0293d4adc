package dedupe

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/tidewatch/tidewatch/stream"
)

// Config declares which events are the same.
type Config struct {
	By       []string      // key columns; at least one
	Span     time.Duration // event time within which a key passes once
	Lateness time.Duration // how far behind the mark repeats are still found; the windows' allowed lateness
}

// Validate checks what does not depend on the events.
func (c *Config) Validate() error {
	switch {
	case len(c.By) == 0:
		return errors.New("check dedupe: it names no key column")
	case c.Span <= 0:
		return fmt.Errorf("check dedupe: the span is %v, it must be above 0", c.Span)
	case c.Lateness < 0:
		return fmt.Errorf("check dedupe: the lateness is %v, it must not be below 0", c.Lateness)
	}
	return nil
}

// Dedupe passes the first event of each key within a span, in order, and drops and counts repeats. It is a stream.Operator,
// used from the task's goroutine; the package comment defines what it does.
type Dedupe struct {
	span, lateness stream.Time
	by             []int
	generations    []*generation // in order of time
	out            *stream.Batch

	key     []byte
	hashes  []xxh3.Uint128 // of the portion; the zero hash of a row without identity
	pass    []int32
	touched uint64 // sum of what was read ahead, so that reading it is not optimized away
}

// generation holds the sights of one span of event time.
type generation struct {
	start, end stream.Time
	until      stream.Time // it is forgotten then
	table      table
}

// portion is how many rows are looked up at once, so that their cache misses overlap.
const portion = 256

// New returns a Dedupe over events of the schema in. The error names the column that is unknown and those that there are.
func New(cfg *Config, in *stream.Schema) (*Dedupe, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := &Dedupe{span: stream.Time(cfg.Span), lateness: stream.Time(cfg.Lateness), out: stream.NewBatch(in)}
	for _, name := range cfg.By {
		at := in.Index(name)
		if at < 0 {
			return nil, fmt.Errorf("compile dedupe: unknown column %q; there are %s", name, strings.Join(in.Names(), ", "))
		}
		d.by = append(d.by, at)
	}
	d.hashes = make([]xxh3.Uint128, portion)
	return d, nil
}

// Process implements stream.Operator.
func (d *Dedupe) Process(b *stream.Batch, out stream.Emitter) error {
	if b.Phase != stream.Event {
		return fmt.Errorf("drop repeats: the rows are %s, not events", b.Phase)
	}
	if b.Len() == 0 {
		return nil
	}
	d.pass = d.pass[:0]
	for lo := 0; lo < b.Len(); lo += portion {
		hi := min(lo+portion, b.Len())
		d.hash(b, lo, hi)
		d.touch(b, lo, hi)
		for i := lo; i < hi; i++ {
			if d.first(d.hashes[i-lo], b.Time[i], b.Mark[i]) {
				d.pass = append(d.pass, int32(i))
			}
		}
	}
	if repeats := b.Len() - len(d.pass); repeats > 0 {
		out.Count(stream.BucketDuplicate, int64(repeats))
		return d.emitPassed(b, out)
	}
	return out.Emit(b)
}

// emitPassed copies the rows that pass. The copy shares the strings of the input.
func (d *Dedupe) emitPassed(b *stream.Batch, out stream.Emitter) error {
	if len(d.pass) == 0 {
		return nil
	}
	d.out.Reset()
	for c := range d.out.Cols {
		d.out.Cols[c].Dict = b.Cols[c].Dict
	}
	gather(d.out, b, d.pass)
	return out.Emit(d.out)
}

// hash computes the hashes of the keys.
func (d *Dedupe) hash(b *stream.Batch, lo, hi int) {
	for i := lo; i < hi; i++ {
		if d.lacksKey(b, i) {
			d.hashes[i-lo] = xxh3.Uint128{}
			continue
		}
		d.key = stream.AppendKey(d.key[:0], b, d.by, i)
		h := xxh3.Hash128(d.key)
		h.Hi = max(h.Hi, 1) // 0 marks a free slot
		d.hashes[i-lo] = h
	}
}

func (d *Dedupe) lacksKey(b *stream.Batch, i int) bool {
	for _, c := range d.by {
		if b.Cols[c].IsNull(i) {
			return true
		}
	}
	return false
}

// touch reads the slots where the searches will begin.
func (d *Dedupe) touch(b *stream.Batch, lo, hi int) {
	sum := uint64(0)
	for _, g := range d.generations {
		near, far := g.start-d.span, g.end+d.span
		for i := lo; i < hi; i++ {
			if t := b.Time[i]; t > near && t < far {
				sum += g.table.slots[g.table.home(d.hashes[i-lo].Hi)].lo
			}
		}
	}
	d.touched += sum
}

// first reports whether the event is no repeat, and remembers it.
func (d *Dedupe) first(h xxh3.Uint128, at, mark stream.Time) bool {
	d.forget(mark)
	if h.Hi == 0 {
		return true
	}
	var own *generation
	for _, g := range d.generations {
		if g.end <= at-d.span {
			continue
		}
		if g.start >= at+d.span {
			break
		}
		if s := g.table.find(h.Hi, h.Lo); s != nil && distance(s.at, at) < d.span {
			return false
		}
		if g.start <= at && at < g.end {
			own = g
		}
	}
	if own == nil {
		if own = d.open(at, mark); own == nil {
			return true
		}
	}
	own.table.add(sight{h.Hi, h.Lo, at})
	return true
}

func distance(a, b stream.Time) stream.Time {
	if a < b {
		return b - a
	}
	return a - b
}

// open makes the generation of an instant, unless it would be forgotten already or is not within the calendar.
func (d *Dedupe) open(at, mark stream.Time) *generation {
	start, end, until, ok := d.bounds(at)
	if !ok || until <= mark {
		return nil
	}
	i, _ := slices.BinarySearchFunc(d.generations, start, func(g *generation, t stream.Time) int { return cmp.Compare(g.start, t) })
	expected := 0
	if i > 0 && i == len(d.generations) && d.generations[i-1].end == start { // only then is it likely to become as large
		expected = d.generations[i-1].table.n
	}
	g := &generation{start: start, end: end, until: until, table: newTable(expected)}
	d.generations = slices.Insert(d.generations, i, g)
	return g
}

// bounds are those of the generation of an instant. ok is false where the calendar ends (1678, 2262).
func (d *Dedupe) bounds(at stream.Time) (start, end, until stream.Time, ok bool) {
	start = at.Floor(time.Duration(d.span))
	end = start + d.span
	until = end + d.span + d.lateness
	ok = start <= at && start-d.span < start && end > start && end+d.span > end && until >= end+d.span
	return start, end, until, ok
}

// forget drops the generations that the mark has left behind.
func (d *Dedupe) forget(mark stream.Time) {
	n := 0
	for n < len(d.generations) && d.generations[n].until <= mark {
		n++
	}
	if n > 0 {
		d.generations = slices.Delete(d.generations, 0, n)
	}
}

// Advance implements stream.Operator. Memory is given back here too; what is a repeat depends on the marks of the events.
func (d *Dedupe) Advance(to stream.Advance, _ stream.Emitter) error {
	d.forget(to.RecordMark)
	return nil
}

// Size implements stream.Sized; the groups are the sights.
func (d *Dedupe) Size() (bytes, groups int64) {
	for _, g := range d.generations {
		bytes, groups = bytes+g.table.bytes(), groups+int64(g.table.n)
	}
	return bytes, groups
}
