package main

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// rowsDiff compares the rows that windows have at the end of two replays: of outputs with the same name and columns. It
// keeps hashes only, so two different rows are taken for equal once in 2^64.
type rowsDiff struct {
	seed    maphash.Seed
	outputs map[string]*outputDiff
	key     []byte
	value   []byte
}

// The sides of a comparison.
const (
	sideBefore = iota
	sideAfter
	sides
)

var sideNames = [sides]string{"before", "after"}

// outputDiff is what an output of that name has on either side.
type outputDiff struct {
	name    string
	has     [sides]bool
	groups  [sides][]string
	columns [sides]string            // of the rows, "" while there was none
	rows    map[uint64][sides]uint64 // by window and group: hashes of the values, 0 for no row
}

func newRowsDiff(specs [sides]*pipelines.Spec) *rowsDiff {
	r := &rowsDiff{seed: maphash.MakeSeed(), outputs: map[string]*outputDiff{}}
	for side, spec := range specs {
		var groups []string
		for i := range spec.Steps {
			s := &spec.Steps[i]
			switch s.Kind {
			case pipelines.WindowStep:
				groups = nil
				for _, g := range s.Window.By {
					groups = append(groups, g.Value)
				}
			case pipelines.FirstStep, pipelines.AbsenceStep:
			default: // rules pass on what they judge
				continue
			}
			o := r.outputs[s.Name.Value]
			if o == nil {
				o = &outputDiff{name: s.Name.Value, rows: map[uint64][sides]uint64{}}
				r.outputs[o.name] = o
			}
			o.has[side], o.groups[side] = true, groups
		}
	}
	return r
}

// take notes the rows that a step shows. Rows of a window that come again replace those before; of windows that are open at the
// end it is what they have got so far.
func (r *rowsDiff) take(side int, step string, b *stream.Batch) {
	o := r.outputs[step]
	if o == nil || !o.has[0] || !o.has[1] || b.Len() == 0 || !slices.Contains([]stream.Phase{stream.Live, stream.Closed, stream.Revised, stream.Final}, b.Phase) {
		return
	}
	shown := shownFields(b.Schema)
	if o.columns[side] == "" {
		o.columns[side] = columnsText(shown, o.groups[side])
	}
	if other := o.columns[1-side]; other != "" && other != o.columns[side] {
		return
	}
	for i := range b.Len() {
		r.key, r.value = appendNumber(r.key[:0], uint64(b.Window.Start)), r.value[:0]
		r.key = appendNumber(r.key, uint64(b.Window.End))
		for c, f := range shown {
			if slices.Contains(o.groups[side], f.Name) {
				r.key = appendValue(r.key, &b.Cols[c], i)
			} else {
				r.value = appendValue(r.value, &b.Cols[c], i)
			}
		}
		key := maphash.Bytes(r.seed, r.key)
		row := o.rows[key]
		row[side] = max(maphash.Bytes(r.seed, r.value), 1)
		o.rows[key] = row
	}
}

// shownFields are the columns of a row without the evidence, which is for alerts.
func shownFields(s *stream.Schema) []stream.Field {
	n := slices.IndexFunc(s.Fields, func(f stream.Field) bool { return strings.HasPrefix(f.Name, "_") })
	if n < 0 {
		n = len(s.Fields)
	}
	return s.Fields[:n]
}

func columnsText(fields []stream.Field, groups []string) string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.Name + " " + f.Kind.String()
		if slices.Contains(groups, f.Name) {
			all[i] = "by " + all[i]
		}
	}
	return strings.Join(all, ", ")
}

func appendNumber(dst []byte, n uint64) []byte { return binary.LittleEndian.AppendUint64(dst, n) }

func appendValue(dst []byte, c *stream.Column, i int) []byte {
	switch {
	case c.IsNull(i):
		return append(dst, 0)
	case c.Kind == stream.Float:
		return appendNumber(append(dst, 1), math.Float64bits(c.Floats[i]))
	case c.Kind == stream.String:
		text := c.Dict.Bytes(c.IDs[i])
		return append(appendNumber(append(dst, 1), uint64(len(text))), text...)
	}
	return appendNumber(append(dst, 1), uint64(c.Ints[i]))
}

// rowCounts are the rows of an output by verdict.
type rowCounts struct{ equal, different, onlyBefore, onlyAfter int }

func (o *outputDiff) counts() (n rowCounts) {
	for _, row := range o.rows {
		switch {
		case row[sideAfter] == 0:
			n.onlyBefore++
		case row[sideBefore] == 0:
			n.onlyAfter++
		case row[sideBefore] == row[sideAfter]:
			n.equal++
		default:
			n.different++
		}
	}
	return n
}

// incomparable says why the rows cannot be compared, "" if they can.
func (o *outputDiff) incomparable() string {
	before, after := o.columns[sideBefore], o.columns[sideAfter]
	switch {
	case !o.has[sideAfter]:
		return "only before"
	case !o.has[sideBefore]:
		return "only after"
	case before != "" && after != "" && before != after:
		return fmt.Sprintf("not compared: before it has the columns %s; after %s", before, after)
	}
	return ""
}

// summary is a line for each output, by name; differ tells whether a compared row differs.
func (r *rowsDiff) summary() (lines []string, differ bool) {
	for _, name := range sortedKeys(r.outputs) {
		o := r.outputs[name]
		if text := o.incomparable(); text != "" {
			lines = append(lines, fmt.Sprintf("rows of %s: %s", name, text))
			continue
		}
		n := o.counts()
		differ = differ || n.different+n.onlyBefore+n.onlyAfter > 0
		lines = append(lines, fmt.Sprintf("rows of %s: %d equal, %d different, %d only before, %d only after", name, n.equal, n.different, n.onlyBefore, n.onlyAfter))
	}
	return lines, differ
}
