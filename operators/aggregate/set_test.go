package aggregate_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/aggregate"
	"github.com/tidewatch/tidewatch/stream"
)

var events = &stream.Schema{Fields: []stream.Field{
	{Name: "value", Kind: stream.Float},
	{Name: "size", Kind: stream.Int},
	{Name: "user", Kind: stream.String},
	{Name: "failed", Kind: stream.Bool},
}}

var specs = []aggregate.Spec{
	{Name: "n", Function: "count"},
	{Name: "values", Function: "count", Column: "value"},
	{Name: "users", Function: "count", Column: "user"},
	{Name: "total", Function: "sum", Column: "value"},
	{Name: "low", Function: "min", Column: "value"},
	{Name: "high", Function: "max", Column: "size"},
	{Name: "mean", Function: "avg", Column: "size"},
	{Name: "failures", Function: "count_if", Column: "failed"},
	{Name: "begin", Function: "first", Column: "value"},
	{Name: "end", Function: "last", Column: "value"},
	{Name: "names", Function: "count_distinct", Column: "user"},
	{Name: "sizes", Function: "count_distinct", Column: "size", Limit: 3},
}

// row is one event; a nil column is null.
type row struct {
	cell   int
	at     stream.Time
	value  *float64
	size   *int64
	user   *string
	failed *bool
}

func drawRows(t *rapid.T) []row {
	value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-3, 3), rapid.SampledFrom([]float64{
		0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64,
	}))
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		return row{
			cell:   rapid.IntRange(0, 3).Draw(t, "cell"),
			at:     stream.Time(rapid.IntRange(-3, 20).Draw(t, "at")),
			value:  rapid.Ptr(value, true).Draw(t, "value"),
			size:   rapid.Ptr(rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 3)), true).Draw(t, "size"),
			user:   rapid.Ptr(rapid.StringN(0, 2, -1), true).Draw(t, "user"),
			failed: rapid.Ptr(rapid.Bool(), true).Draw(t, "failed"),
		}
	}), 0, 40).Draw(t, "rows")
}

func batchOf(rows []row) *stream.Batch {
	b := stream.NewBatch(events)
	for _, r := range rows {
		if r.value == nil {
			b.Cols[0].AppendNull()
		} else {
			b.Cols[0].AppendFloat(*r.value)
		}
		if r.size == nil {
			b.Cols[1].AppendNull()
		} else {
			b.Cols[1].AppendInt(*r.size)
		}
		if r.user == nil {
			b.Cols[2].AppendNull()
		} else {
			b.Cols[2].AppendString(*r.user)
		}
		if r.failed == nil {
			b.Cols[3].AppendNull()
		} else {
			b.Cols[3].AppendBool(*r.failed)
		}
		b.Time = append(b.Time, r.at)
		b.SetLen(b.Len() + 1)
	}
	return b
}

// oracle folds the rows of a cell in the order given, one by one. It knows nothing of count_distinct beyond a limit.
func oracle(rows []row, cell int) []any {
	var n, values, users, sizes, failures int64
	total, low, high, sum := 0.0, math.Inf(1), math.Inf(-1), 0.0
	var begin, end *row
	names, distinct := map[string]bool{}, map[int64]bool{}
	for i := range rows {
		r := &rows[i]
		if r.cell != cell {
			continue
		}
		n++
		if r.user != nil {
			users++
			names[*r.user] = true
		}
		if r.failed != nil && *r.failed {
			failures++
		}
		if v := r.value; v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) {
			values++
			total += *v
			low = min(low, *v)
			if begin == nil || r.at < begin.at {
				begin = r
			}
			if end == nil || r.at >= end.at {
				end = r
			}
		}
		if r.size != nil {
			sizes++
			sum += float64(*r.size)
			high = max(high, float64(*r.size))
			distinct[*r.size] = true
		}
	}
	return []any{
		n, values, users, shown(total, values), shown(low, values), shown(high, sizes), shown(sum/float64(sizes), sizes), failures,
		valueOf(begin), valueOf(end), int64(len(names)), int64(len(distinct)),
	}
}

func valueOf(r *row) any {
	if r == nil {
		return nil
	}
	return *r.value + 0
}

func shown(v float64, seen int64) any {
	if seen == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v + 0
}

func compile(t interface{ Fatal(args ...any) }) *aggregate.Set {
	s, err := aggregate.Compile(specs, events)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fold adds the rows to four cells in portions of random length.
func fold(t *rapid.T, s *aggregate.Set, rows []row) (words []uint64) {
	for range 4 {
		words = s.AppendEmpty(words)
	}
	b := batchOf(rows)
	for lo := 0; lo < len(rows); {
		hi := rapid.IntRange(lo+1, len(rows)).Draw(t, "portion")
		var at []uint32
		var idx []int32
		for i := lo; i < hi; i++ {
			at, idx = append(at, uint32(rows[i].cell*s.Words())), append(idx, int32(i))
		}
		s.Add(words, at, b, idx)
		lo = hi
	}
	return words
}

func results(s *aggregate.Set, words []uint64) (all [][]any) {
	out := stream.NewBatch(&stream.Schema{Fields: s.Results()})
	at := []uint32{}
	for i := 0; i < len(words); i += s.Words() {
		at = append(at, uint32(i))
	}
	s.AppendResults(words, at, out.Cols)
	for i := range at {
		var line []any
		for c := range out.Cols {
			line = append(line, out.Cols[c].Value(i))
		}
		all = append(all, line)
	}
	return all
}

// equal compares what was got with what is wanted; beyond its limit of 3, the last column is an estimate.
func equal(got, want []any) bool {
	for i := range got {
		if n, _ := want[i].(int64); specs[i].Limit > 0 && n > int64(specs[i].Limit) {
			if got[i].(int64) <= int64(specs[i].Limit) {
				return false
			}
			continue
		}
		if got[i] != want[i] {
			return false
		}
	}
	return len(got) == len(want)
}

func TestAddAgainstOracle(t *testing.T) {
	s := compile(t)
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		for cell, got := range results(s, fold(t, s, rows)) {
			if want := oracle(rows, cell); !equal(got, want) {
				t.Fatalf("cell %d: got %v, want %v", cell, got, want)
			}
		}
	})
}

// TestMerge: partials of several partitions, carried by their columns and merged in partition order, give what folding
// each partition and adding up in that order gives; and what does not depend on order is exact.
func TestMerge(t *testing.T) {
	s := compile(t)
	rapid.Check(t, func(t *rapid.T) {
		parts := [][]row{drawRows(t), drawRows(t), drawRows(t)}
		merged := []uint64{}
		for range 4 {
			merged = s.AppendEmpty(merged)
		}
		var all []row
		for _, rows := range parts {
			all = append(all, rows...)
			for i, cell := range carried(s, fold(t, s, rows)) {
				s.Merge(merged[i*s.Words():(i+1)*s.Words()], cell)
			}
		}
		for cell, got := range results(s, merged) {
			want := oracle(all, cell)
			for i, spec := range specs {
				switch spec.Function {
				case "sum", "avg":
					want[i] = mergedSum(parts, cell, spec)
				}
			}
			if !equal(got, want) {
				t.Fatalf("cell %d: got %v, want %v", cell, got, want)
			}
		}
	})
}

// carried sends cells through state columns.
func carried(s *aggregate.Set, words []uint64) (cells [][]uint64) {
	out := stream.NewBatch(&stream.Schema{Fields: s.State()})
	var at []uint32
	for i := 0; i < len(words); i += s.Words() {
		at = append(at, uint32(i))
	}
	s.AppendState(words, at, out.Cols)
	for i := range at {
		cell := make([]uint64, s.Words())
		s.LoadState(out.Cols, i, cell)
		cells = append(cells, cell)
	}
	return cells
}

func mergedSum(parts [][]row, cell int, spec aggregate.Spec) any {
	total, seen := 0.0, int64(0)
	for _, rows := range parts {
		sum := 0.0
		for _, r := range rows {
			switch {
			case r.cell != cell:
			case spec.Column == "value" && r.value != nil && !math.IsNaN(*r.value) && !math.IsInf(*r.value, 0):
				sum += *r.value
				seen++
			case spec.Column == "size" && r.size != nil:
				sum += float64(*r.size)
				seen++
			}
		}
		total += sum
	}
	if spec.Function == "avg" {
		return shown(total/float64(seen), seen)
	}
	return shown(total, seen)
}

func TestUnusableNumbersAreNoValues(t *testing.T) {
	s := compile(t)
	var rows []row
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		rows = append(rows, row{value: &v})
	}
	words := s.AppendEmpty(nil)
	s.Add(words, []uint32{0, 0, 0}, batchOf(rows), []int32{0, 1, 2})
	got := results(s, words)[0]
	if want := []any{int64(3), int64(0), int64(0), nil, nil, nil, nil, int64(0), nil, nil, int64(0), int64(0)}; !equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	zero := math.Copysign(0, -1)
	s.Add(words, []uint32{0}, batchOf([]row{{value: &zero}}), []int32{0})
	if got := results(s, words)[0]; got[3] != 0.0 || math.Signbit(got[3].(float64)) || math.Signbit(got[4].(float64)) {
		t.Errorf("-0 must count as 0: got %v", got)
	}
}

func TestSumBeyondFloat64IsNull(t *testing.T) {
	s := compile(t)
	huge := math.MaxFloat64
	words := s.AppendEmpty(nil)
	s.Add(words, []uint32{0, 0}, batchOf([]row{{value: &huge}, {value: &huge}}), []int32{0, 1})
	if got := results(s, words)[0][3]; got != nil {
		t.Errorf("got %v, want null", got)
	}
}

func TestAddAllocatesNothing(t *testing.T) {
	s := compile(t)
	v, n, u, yes := 1.5, int64(7), "ada", true
	b := batchOf([]row{{value: &v, size: &n, user: &u, failed: &yes}, {}, {value: &v}})
	words, at, rows := s.AppendEmpty(nil), []uint32{0, 0, 0}, []int32{0, 1, 2}
	s.Add(words, at, b, rows)
	if allocs := testing.AllocsPerRun(100, func() { s.Add(words, at, b, rows) }); allocs != 0 {
		t.Errorf("%v allocations a run, want 0", allocs)
	}
}

func TestCompileNamesEveryFault(t *testing.T) {
	_, err := aggregate.Compile([]aggregate.Spec{
		{Name: "a", Function: "averge", Column: "value"},
		{Name: "b", Function: "sum", Column: "valeu"},
		{Name: "c", Function: "sum", Column: "user"},
		{Name: "d", Function: "sum"},
		{Name: "e", Function: "count"},
		{Name: "e", Function: "count"},
		{Name: "f.g", Function: "count"},
		{Name: "h", Function: "count_if", Column: "value"},
		{Name: "i", Function: "count_distinct", Column: "user", Limit: aggregate.MaxDistinct + 1},
		{Name: "j", Function: "max", Column: "value", Limit: 3},
	}, events)
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{
		`unknown function "averge"; known are avg, count, count_distinct, count_if, first, last, max, min, slope, sum`, `unknown column "valeu"; there are value, size, user, failed`,
		`sum needs a column of numbers, "user" is string`, `"d": write sum(column)`, `"e" is declared twice`, `"f.g" is empty or holds a dot`,
		`count_if needs a column that is true or false, "value" is float`, `the limit of count_distinct is from 1 to 4096`, `max takes no limit`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
