package streamtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// part is one demand of a suite. It takes a testing.TB, so that the tests of the suites can watch it fail.
type part struct {
	name string
	run  func(t testing.TB)
}

func runParts(t *testing.T, parts []part) {
	t.Helper()
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t) })
	}
}

// histories calls run with n seeds. Histories grow, so the first that fails is among the smallest that do.
func histories(t testing.TB, n int, run func(t testing.TB, rng *rand.Rand, size int)) {
	t.Helper()
	for seed := range n {
		size := 1 + (seed+1)*40/n
		h := &history{TB: t, label: fmt.Sprintf("history %d, size %d: ", seed, size)}
		h.run(func() { run(h, rand.New(rand.NewPCG(uint64(seed), 1)), size) })
		if t.Failed() {
			return
		}
	}
}

// history is the test while one history runs: it names it in messages, and cleans up at its end.
type history struct {
	testing.TB
	label    string
	cleanups []func()
}

func (h *history) run(do func()) {
	defer func() {
		for _, f := range slices.Backward(h.cleanups) {
			f()
		}
	}()
	do()
}

// Cleanup implements testing.TB.
func (h *history) Cleanup(f func()) { h.cleanups = append(h.cleanups, f) }

// Fatal implements testing.TB.
func (h *history) Fatal(args ...any) {
	h.Helper()
	h.TB.Fatal(h.label + fmt.Sprintln(args...))
}

// Fatalf implements testing.TB.
func (h *history) Fatalf(format string, args ...any) {
	h.Helper()
	h.TB.Fatal(h.label + fmt.Sprintf(format, args...))
}

// Error implements testing.TB.
func (h *history) Error(args ...any) {
	h.Helper()
	h.TB.Error(h.label + fmt.Sprintln(args...))
}

// Errorf implements testing.TB.
func (h *history) Errorf(format string, args ...any) {
	h.Helper()
	h.TB.Error(h.label + fmt.Sprintf(format, args...))
}

// chance is true once in n draws; never without a source of chance.
func chance(rng *rand.Rand, n int) bool { return rng != nil && rng.IntN(n) == 0 }

// rowText renders row i with everything that the contract gives it.
func rowText(b *stream.Batch, i int) string {
	var s strings.Builder
	s.WriteString(headText(b))
	if len(b.Slot) > 0 {
		fmt.Fprintf(&s, " slot %d", b.Slot[i])
	}
	if len(b.Offset) > 0 {
		fmt.Fprintf(&s, " offset %d", b.Offset[i])
	}
	for _, c := range []struct {
		name  string
		times []stream.Time
	}{{"time", b.Time}, {"mark", b.Mark}, {"timestamp", b.Timestamp}} {
		if len(c.times) > 0 {
			fmt.Fprintf(&s, " %s %d", c.name, c.times[i])
		}
	}
	if len(b.Producer) > 0 {
		fmt.Fprintf(&s, " producer %x", b.Producer[i])
	}
	if len(b.Bytes) > 0 {
		fmt.Fprintf(&s, " bytes %d", b.Bytes[i])
	}
	return s.String() + ": " + valuesText(b, i, len(b.Cols))
}

// headText renders what all rows of a batch share.
func headText(b *stream.Batch) string {
	if !ofWindow(b) {
		return b.Phase.String()
	}
	s := fmt.Sprintf("%s %d-%d at %d.%d revision %d", b.Phase, b.Window.Start, b.Window.End, b.Version.Offset, b.Version.Step, b.Revision)
	if b.Provisional {
		s += " provisional"
	}
	if b.AfterClose {
		s += " after the close"
	}
	return s
}

// ofWindow says that the rows belong to a window.
func ofWindow(b *stream.Batch) bool { return b.Phase != stream.Event && b.Phase != stream.Late }

// bySlots says that slots come complete, so that batches end at the borders of slots only.
func bySlots(b *stream.Batch) bool {
	return ofWindow(b) && b.Phase != stream.Partial && len(b.Slot) > 0
}

// valuesText renders the first columns of row i.
func valuesText(b *stream.Batch, i, columns int) string {
	parts := make([]string, columns)
	for c := range parts {
		parts[c] = fmt.Sprintf("%s=%#v", b.Schema.Fields[c].Name, b.Cols[c].Value(i))
	}
	return strings.Join(parts, " ")
}

// border is a row above lo at which the batch may be cut: at random, but not within a slot of a window nor within a record.
func border(rng *rand.Rand, b *stream.Batch, lo int) int {
	hi := b.Len()
	if rng != nil {
		hi = lo + 1 + rng.IntN(b.Len()-lo)
	}
	together := func(i int) bool {
		return bySlots(b) && b.Slot[i] == b.Slot[i-1] || len(b.Offset) > 0 && b.Offset[i] == b.Offset[i-1]
	}
	for hi < b.Len() && together(hi) {
		hi++
	}
	return hi
}

// copyRows makes dst hold rows lo to hi of src, as a batch of its own.
func copyRows(dst, src *stream.Batch, lo, hi int) {
	dst.Reset()
	dst.Phase, dst.Window, dst.Version, dst.Provisional = src.Phase, src.Window, src.Version, src.Provisional
	dst.Revision, dst.AfterClose = src.Revision, src.AfterClose
	for i := lo; i < hi; i++ {
		dst.AppendRow(src, i)
	}
}

// spoil overwrites the rows of a batch that was lent and has come back. Strings of which the numbers were kept become
// others, if the dictionary is spoilt too.
func spoil(b *stream.Batch, dictionaries bool) {
	for i := range b.Cols {
		c := &b.Cols[i]
		fill(c.Ints, -777)
		fill(c.Floats, math.Inf(-1))
		fill(c.IDs, 0)
		fill(c.Null, true)
		if dictionaries && c.Dict != nil {
			c.Dict.Reset()
			for k := range 3 {
				c.Dict.ID(fmt.Appendf(nil, "spoilt %d", k))
			}
		}
	}
	fill(b.Time, stream.MaxTime)
	fill(b.Mark, stream.MaxTime)
	fill(b.Timestamp, stream.MaxTime)
	fill(b.Offset, -777)
	fill(b.Producer, 777)
	fill(b.Bytes, 777)
	fill(b.Slot, 77)
}

func fill[T any](s []T, v T) {
	for i := range s {
		s[i] = v
	}
}

// diffLines tells where two lists begin to differ.
func diffLines(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("line %d is missing: %s", i, want[i])
		case i >= len(want):
			return fmt.Sprintf("line %d is too many: %s", i, got[i])
		case got[i] != want[i]:
			return fmt.Sprintf("line %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
	return ""
}

// diffMaps tells in which keys two maps differ.
func diffMaps(got, want map[string]string) string {
	var lines []string
	for k, g := range got {
		if w, ok := want[k]; !ok {
			lines = append(lines, fmt.Sprintf("%s is too many: %.300q", k, g))
		} else if g != w {
			lines = append(lines, fmt.Sprintf("%s is %.300q, want %.300q", k, g, w))
		}
	}
	for k, w := range want {
		if _, ok := got[k]; !ok {
			lines = append(lines, fmt.Sprintf("%s is missing: %.300q", k, w))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
