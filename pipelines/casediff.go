package pipelines

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// differences compares what was expected with what came out.
func (e *Expect) differences(l *layout, got *outcome) (failures []string) {
	failures = append(failures, e.alertDifferences(got.changes)...)
	for i := range e.Rollups {
		failures = append(failures, e.Rollups[i].difference(l, got)...)
	}
	for i := range e.Events {
		failures = append(failures, e.Events[i].difference(l, got)...)
	}
	ledger := got.ledger.Map()
	for _, n := range e.Ledger {
		if have := ledger[n.Bucket.Value]; have != n.Count.Value {
			text := fmt.Sprintf("ledger: expected %d %s, got %d", n.Count.Value, n.Bucket, have)
			failures = append(failures, text+rejections(n.Bucket.Value, got.rejected))
		}
	}
	return failures
}

// rejections names the reasons where the count of rejected records differs.
func rejections(bucket string, rejected []stream.Rejected) string {
	if bucket != stream.BucketRejected.String() && bucket != stream.BucketCounted.String() || len(rejected) == 0 {
		return ""
	}
	return fmt.Sprintf(" (first rejected record: %s)", rejected[0].Reason)
}

// alertDifferences wants each expected change to have happened, and no firing or resolving beside them. What is pending
// concerns nobody yet, so it need not be listed.
func (e *Expect) alertDifferences(changes []Transition) (failures []string) {
	used := make([]bool, len(changes))
	for i := range e.Alerts {
		a := &e.Alerts[i]
		at := slices.IndexFunc(changes, func(t Transition) bool { return a.matches(&t) })
		for at >= 0 && used[at] {
			next := slices.IndexFunc(changes[at+1:], func(t Transition) bool { return a.matches(&t) })
			if next < 0 {
				at = -1
				break
			}
			at += 1 + next
		}
		if at >= 0 {
			used[at] = true
			continue
		}
		failures = append(failures, "expected "+a.String()+"\n"+nearestChanges(a, changes))
	}
	for i := range changes {
		if !used[i] && changes[i].Notifies {
			failures = append(failures, "unexpected "+changes[i].String())
		}
	}
	return failures
}

func (a *ExpectedAlert) matches(t *Transition) bool {
	if a.Name.Value != t.Name || a.State.Value != t.To || a.Revised.Value != t.Revised || !t.At.Equal(caseTime(a.Time.Duration).Go()) {
		return false
	}
	if a.Severity.IsSet() && a.Severity.Value != t.Severity || a.Summary.IsSet() && a.Summary.Value != t.Summary {
		return false
	}
	for _, l := range a.Labels {
		if have, ok := t.Labels[l.Name.Value]; !ok || have != labelText(l.JSON) {
			return false
		}
	}
	return true
}

func labelsText(labels []Value) string {
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = " " + l.Name.Value + "=" + labelText(l.JSON)
	}
	return strings.Join(parts, "")
}

// labelText is a label as text: labels are.
func labelText(value []byte) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	return string(value)
}

// String is the expectation as it stands in a file.
func (a *ExpectedAlert) String() string {
	s := fmt.Sprintf("%s %s at %s", a.Name, a.State, formatDuration(a.Time.Duration))
	if a.Revised.Value {
		s += " revised"
	}
	s += labelsText(a.Labels)
	if a.Severity.IsSet() {
		s += fmt.Sprintf(" severity=%s", a.Severity)
	}
	if a.Summary.IsSet() {
		s += fmt.Sprintf(" %q", a.Summary.Value)
	}
	return s
}

// String is the change in the same form.
func (t *Transition) String() string {
	s := fmt.Sprintf("%s %s at %s", t.Name, t.To, sinceBase(t.At))
	if t.Revised {
		s += " revised"
	}
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(t.Labels)) {
		labels = append(labels, " "+name+"="+t.Labels[name])
	}
	return s + strings.Join(labels, "") + fmt.Sprintf(" severity=%s %q", t.Severity, t.Summary)
}

// shownChanges is how many changes of a rule a failure lists.
const shownChanges = 6

// nearestChanges lists what the rule did instead.
func nearestChanges(a *ExpectedAlert, changes []Transition) string {
	var lines []string
	more := 0
	for i := range changes {
		if changes[i].Name != a.Name.Value {
			continue
		}
		if len(lines) == shownChanges {
			more++
			continue
		}
		lines = append(lines, "     got "+changes[i].String())
	}
	if len(lines) == 0 {
		return "     got no change of " + a.Name.Value
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("     and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// caseRow is a row of a step as text and as values.
type caseRow struct {
	at     stream.Time
	values map[string]any
	text   string
}

// rowsOf are the rows of a step: of a rollup the newest of each window and group.
func (l *layout) rowsOf(of string, got *outcome) (rows []caseRow) {
	step, late, _ := l.stepIndex(of)
	base := strings.TrimSuffix(of, lateSuffix)
	groups := -1 // events have none
	if l.windowed(step, late) {
		groups = len(l.steps[l.window].Window.By)
	}
	// Final rows of a first_seen are those of all groups.
	skips := step >= 0 && l.steps[step].Kind == FirstStep
	newest := map[string]int{}
	for _, r := range got.rows {
		if r.Step != base || late != (r.Batch.Phase == stream.Late) || skips && r.Batch.Phase == stream.Final {
			continue
		}
		for i := range r.Batch.Len() {
			row := rowOf(r.Batch, i, groups)
			if groups < 0 {
				rows = append(rows, row)
				continue
			}
			key := groupKey(r.Batch, i, groups)
			if at, ok := newest[key]; ok {
				rows[at] = row
				continue
			}
			newest[key] = len(rows)
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b caseRow) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.text, b.text)) })
	return rows
}

func groupKey(b *stream.Batch, i, groups int) string {
	cols := make([]int, groups)
	for c := range cols {
		cols[c] = c
	}
	return string(stream.AppendKey([]byte(b.Window.End.String()+" "), b, cols, i))
}

func rowOf(b *stream.Batch, i, groups int) caseRow {
	r := caseRow{at: b.Window.End, values: map[string]any{}}
	if groups < 0 {
		r.at = b.Time[i]
	}
	var parts []string
	for c, f := range b.Schema.Fields {
		v := b.Cols[c].Value(i)
		r.values[f.Name] = v
		if strings.HasPrefix(f.Name, "_") { // evidence is for alerts
			continue
		}
		parts = append(parts, f.Name+"="+valueText(v))
	}
	r.text = strings.Join(parts, " ")
	return r
}

func valueText(v any) string {
	if t, ok := v.(stream.Time); ok {
		return t.String()
	}
	return string(appendJSON(nil, v))
}

// difference looks for the row.
func (e *ExpectedRow) difference(l *layout, got *outcome) []string {
	rows := l.rowsOf(e.Of.Value, got)
	at := caseTime(e.Time.Duration)
	var others []string
	for _, r := range rows {
		if r.at != at {
			continue
		}
		if e.equal(r) {
			return nil
		}
		others = append(others, "     got "+r.text)
	}
	var fields []string
	want := fmt.Sprintf("expected %s at %s: ", e.Of, formatDuration(e.Time.Duration))
	for _, f := range e.Fields {
		fields = append(fields, fmt.Sprintf("%s=%s", f.Name, f.JSON))
	}
	want += strings.Join(fields, " ")
	if len(others) == 0 {
		return []string{want + "\n     got no row at that time" + timesOf(rows)}
	}
	if len(others) > shownChanges {
		others = append(others[:shownChanges], fmt.Sprintf("     and %d more", len(others)-shownChanges))
	}
	return []string{want + "\n" + strings.Join(others, "\n")}
}

func timesOf(rows []caseRow) string {
	var times []string
	for _, r := range rows {
		if t := sinceBase(r.at.Go()); !slices.Contains(times, t) && len(times) < shownChanges {
			times = append(times, t)
		}
	}
	if len(times) == 0 {
		return ", or at any other"
	}
	return ", but at " + strings.Join(times, ", ")
}

// equal compares the columns that the expectation names.
func (e *ExpectedRow) equal(r caseRow) bool {
	for _, f := range e.Fields {
		var want any
		if json.Unmarshal(f.JSON, &want) != nil || !sameValue(want, r.values[f.Name.Value]) {
			return false
		}
	}
	return true
}

// tolerance is relative: a case writes 0.95 for the mean of many.
const tolerance = 1e-9

func sameValue(want, have any) bool {
	number, ok := want.(float64)
	if !ok {
		return want == have || have != nil && want == valueText(have)
	}
	switch have := have.(type) {
	case int64:
		return float64(have) == number
	case float64:
		return math.Abs(have-number) <= tolerance*max(math.Abs(have), math.Abs(number))
	}
	return false
}
