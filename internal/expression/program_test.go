package expression

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/tidewatch/tidewatch/stream"
)

// fastExpressions must not leave the loops.
var fastExpressions = []string{
	`name == "system.cpu.utilization"`,
	`name == "system.cpu.utilization" and value > 0.9`,
	`host in ["host-1", "host-2"] or samples % 10 == 3`,
	`name startsWith "system." && not (host matches "^host-[0-9]$")`,
	`(value ?? 0.0) * 100 + samples`,
	`value == nil ? "none" : host`,
	`lower(host) contains "7"`,
	`time > date("2026-01-01")`,
	`attributes.region ?? "unknown"`,
	`samples in [1, 2, 3]`,
	`mfa == true`,
	`-value < 0.5`,
}

// manyRows is a batch like those of the benchmark workloads.
func manyRows(n int) *stream.Batch {
	b := stream.NewBatch(hostSchema())
	names := []string{"system.cpu.utilization", "system.memory.usage", "http.server.duration", "process.open_fds"}
	for i := range n {
		b.Cols[0].AppendString(names[i%len(names)])
		b.Cols[1].AppendString("host-" + strconv.Itoa(i%200))
		b.Cols[2].AppendFloat(float64(i%100) / 100)
		b.Cols[3].AppendInt(int64(i))
		b.Cols[4].AppendBool(i%2 == 0)
		b.Cols[5].AppendInt(1795409200250000000 + int64(i))
		if i%7 == 0 {
			b.Cols[6].AppendNull()
		} else {
			b.Cols[6].AppendString("eu-west-1")
		}
	}
	b.SetLen(n)
	return b
}

func TestLoopsDoNotAllocate(t *testing.T) {
	b := manyRows(1000)
	for _, src := range fastExpressions {
		p, err := Compile(src, b.Schema)
		if err != nil {
			t.Fatalf("compile %s: %v", src, err)
		}
		if _, slow := p.root.(*machineNode); slow {
			t.Errorf("%s runs in the VM", src)
		}
		var verdicts []bool
		c := stream.NewBatch(&stream.Schema{Fields: []stream.Field{field("x", p.Kind())}}).Cols[0]
		evaluate := func() {
			c.Reset()
			p.Column(b, &c)
			if p.Kind() == stream.Bool {
				verdicts = p.Bool(b, verdicts)
			}
		}
		evaluate()
		if allocs := testing.AllocsPerRun(20, evaluate); allocs > 0 {
			t.Errorf("%s: %v allocations a batch of 1000", src, allocs)
		}
	}
}

func TestPredicateRunsOncePerDistinctString(t *testing.T) {
	t.Parallel()
	b, calls := manyRows(1000), 0
	n := &stringNode{of: &columnNode{index: 1}, make: func() results {
		return &verdicts{holds: func([]byte) bool { calls++; return true }}
	}}
	n.eval(b)
	n.eval(b)
	if calls != 200 {
		t.Errorf("%d calls for 200 hosts", calls)
	}
	b.Reset()
	b.Cols[1].Dict.Reset()
	b.Cols[1].AppendString("other")
	b.SetLen(1)
	if n.eval(b); calls != 201 {
		t.Errorf("%d calls after another generation with one host, want 201", calls)
	}
}

func TestManyDictionariesInTurn(t *testing.T) {
	t.Parallel()
	p, err := Compile(`host == "host-3"`, hostSchema())
	if err != nil {
		t.Fatal(err)
	}
	batches := make([]*stream.Batch, 2*dictsKept)
	for i := range batches {
		batches[i] = stream.NewBatch(hostSchema())
		for k := range 5 { // every dictionary numbers them otherwise
			batches[i].Cols[1].AppendString(fmt.Sprintf("host-%d", (i+k)%5))
		}
		batches[i].SetLen(5)
	}
	for round := range 3 {
		for i, b := range batches {
			for k, got := range p.Bool(b, nil) {
				if want := (i+k)%5 == 3; got != want {
					t.Fatalf("round %d, batch %d, row %d: %t", round, i, k, got)
				}
			}
		}
	}
}

func TestOwnStringsAreForgotten(t *testing.T) {
	t.Parallel()
	p, err := Compile(`mfa ? host : name`, hostSchema())
	if err != nil {
		t.Fatal(err)
	}
	b, next := stream.NewBatch(hostSchema()), 0
	for range 40 {
		b.Reset()
		b.Cols[0].Dict.Reset()
		b.Cols[1].Dict.Reset()
		for range 5000 {
			b.Cols[0].AppendString("name-" + strconv.Itoa(next))
			b.Cols[1].AppendString("host-" + strconv.Itoa(next))
			b.Cols[4].AppendBool(next%2 == 0)
			next++
		}
		b.SetLen(5000)
		v := p.root.eval(b)
		for i := range 5000 {
			want := b.Cols[i%2].Text(i)
			if next%2 == 0 {
				want = b.Cols[1-i%2].Text(i)
			}
			if got := v.dict.String(v.ids[i]); got != want {
				t.Fatalf("row %d: %q, want %q", i, got, want)
			}
		}
	}
	if n := p.root.(*chooseNode).own.Len(); n > maxOwnStrings+5000 {
		t.Errorf("the node keeps %d strings", n)
	}
}

// FuzzCompile looks for a panic, for mistakes without a place, for a program that cannot be run, and for one whose loops and
// VM do not agree.
func FuzzCompile(f *testing.F) {
	for _, src := range slices.Concat(fastExpressions, onceDifferent) {
		f.Add(src)
	}
	for _, src := range []string{
		"any([1, value], # > 2)", "let x = 1; x", "a ? b : c", "[1,2][5]", "{a: 1}.a", "1..samples", "host | upper() | len()",
		"$env", "value ?? nil", "time.Hour()", "if mfa {1} else {2}", "\xff", "#", "name matches host", "host[1:]",
		"reduce([1], #acc + #, 0)", "sum(map(1..3, # * value))", "get(fromJSON(name), host)", `"\u{1F600}" == name`,
	} {
		f.Add(src)
	}
	schema := hostSchema()
	f.Fuzz(func(t *testing.T, src string) {
		names, namesErr := Names(src)
		p, err := Compile(src, schema)
		if err != nil {
			checkMistake(t, src, err)
			return
		}
		if namesErr != nil || len(names) != len(p.Columns()) {
			t.Fatalf("names %v (%v), columns %v", names, namesErr, p.Columns())
		}
		b := hostBatch()
		c := stream.NewBatch(&stream.Schema{Fields: []stream.Field{field("x", p.Kind())}}).Cols[0]
		p.Column(b, &c)
		if c.Len() != b.Len() {
			t.Fatalf("%d values for %d rows", c.Len(), b.Len())
		}
		if d := disagreement(src); d != "" {
			t.Fatal(d)
		}
	})
}

func checkMistake(t *testing.T, src string, err error) {
	t.Helper()
	e := Mistake(err)
	if e == nil {
		t.Fatalf("no place in %v", err)
	}
	if e.Offset < 0 || e.Offset > len(src) || e.Line < 1 || e.Column < 1 || e.Column > utf8.RuneCountInString(src)+1 {
		t.Fatalf("impossible place: %+v", e)
	}
	if e.Message == "" {
		t.Fatal("no message")
	}
}

// FuzzCompileTemplate looks for a panic and for impossible places.
func FuzzCompileTemplate(f *testing.F) {
	f.Add("{{ host }} at {{ percent(value) }}")
	f.Add("{{ '}}' }}")
	f.Add("{{")
	f.Add("}} {{ \"\\\"}}\" }}")
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := CompileTemplate(text, hostSchema())
		if err != nil {
			checkMistake(t, text, err)
			return
		}
		if _, err := TemplateNames(text); err != nil {
			t.Fatalf("compiles, but has no names: %v", err)
		}
		tpl.Render(hostBatch(), 1)
	})
}

func BenchmarkBool(b *testing.B) {
	rows := manyRows(4096)
	for _, src := range fastExpressions {
		p, err := Compile(src, rows.Schema)
		if err != nil || p.Kind() != stream.Bool {
			continue
		}
		b.Run(src, func(b *testing.B) {
			b.ReportAllocs()
			var dst []bool
			for b.Loop() {
				dst = p.Bool(rows, dst)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/row")
		})
	}
}
