package presence_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/presence"
	"github.com/tidewatch/tidewatch/stream"
)

func newFirst(t interface{ Fatal(...any) }, cfg *presence.FirstConfig) stream.Operator {
	op, err := presence.NewFirst(cfg, rollup)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// firstOracle follows the definition, with a list of all rows that there were.
func firstOracle(cfg *presence.FirstConfig, steps []step) (lines []string) {
	type row struct {
		group  group
		end    stream.Time
		passed bool
	}
	var seen []row
	owner := func(g group) group {
		if slices.Contains(cfg.Of, "user") {
			g.user = 0
		}
		if slices.Contains(cfg.Of, "port") {
			g.port = 0
		}
		return g
	}
	begin, last := map[group]stream.Time{}, map[group]stream.Time{}
	note := func(o group, end stream.Time) stream.Time {
		if before, ok := last[o]; !ok || end-before >= stream.Time(cfg.Within) {
			begin[o] = end
		}
		last[o] = max(last[o], end)
		return begin[o]
	}
	out := &transcript{lines: &lines}
	for i := range steps {
		s := &steps[i]
		var pass []group
		for _, g := range s.groups {
			known, passed := false, false
			for _, r := range seen {
				known = known || r.group == g && s.end-r.end < stream.Time(cfg.Within)
				passed = passed || r.group == g && r.end == s.end && r.passed
			}
			switch s.phase {
			case stream.Closed:
				since := s.end - note(owner(g), s.end)
				isNew := !known && since >= stream.Time(cfg.Learn)
				seen = append(seen, row{g, s.end, isNew})
				if isNew {
					pass = append(pass, g)
				}
			case stream.Revised:
				note(owner(g), s.end)
				seen = append(seen, row{g, s.end, false})
				if passed {
					pass = append(pass, g)
				}
			default:
				pass = append(pass, g)
			}
		}
		_ = out.Emit(batchOf(s, pass)) // never fails
	}
	return lines
}

// TestFirst: whatever the borders of batches, and wherever the state moved on, the groups that pass are those that the
// definition says.
func TestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := &presence.FirstConfig{
			By: by, Of: rapid.SampledFrom([][]string{{"port"}, {"user"}, {"user", "port"}}).Draw(t, "of"), Within: time.Duration(every) * time.Duration(rapid.SampledFrom([]int{1, 2, 3, 5, 20}).Draw(t, "within")),
			Learn: time.Duration(every) * time.Duration(rapid.IntRange(0, 6).Draw(t, "learn")), Lateness: time.Duration(lateness),
		}
		steps := drawSteps(t)
		got := run(t, true, func() stream.Operator { return newFirst(t, cfg) }, steps)
		if want := firstOracle(cfg, steps); !slices.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Groups that nothing depends on any more take no memory.
func TestFirstForgets(t *testing.T) {
	op, err := presence.NewFirst(&presence.FirstConfig{By: by, Of: by, Within: time.Minute}, rollup)
	if err != nil {
		t.Fatal(err)
	}
	out := &transcript{lines: &[]string{}}
	for i := range 2000 {
		s := &step{phase: stream.Closed, end: epoch + stream.Time(i)*every, groups: []group{{i, 1}}}
		if err := op.Process(batchOf(s, s.groups), out); err != nil {
			t.Fatal(err)
		}
		if err := op.Advance(stream.Advance{Mark: s.end, RecordMark: s.end}, out); err != nil {
			t.Fatal(err)
		}
	}
	if bytes, groups := op.Size(); groups > 8 || bytes > 200_000 {
		t.Errorf("%d groups in %d bytes are remembered of a minute with six", groups, bytes)
	}
}

func TestFirstConfigFaults(t *testing.T) {
	for want, cfg := range map[string]presence.FirstConfig{
		"within is 0s":                   {By: by, Of: by},
		"it does not say":                {By: by, Within: time.Minute},
		`"prot" is no group column`:      {By: by, Of: []string{"prot"}, Within: time.Minute},
		"lateness is -1s":                {By: by, Of: by, Within: time.Minute, Lateness: -time.Second},
		"learn is -1s":                   {By: by, Of: by, Within: time.Minute, Learn: -time.Second},
		`column "usr" is not in the row`: {By: []string{"usr"}, Of: []string{"usr"}, Within: time.Minute},
	} {
		if _, err := presence.NewFirst(&cfg, rollup); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func FuzzRestoreFirst(f *testing.F) {
	fuzzRestore(f, func() stream.Operator {
		return newFirst(f, &presence.FirstConfig{By: by, Of: by[1:], Within: time.Minute})
	})
}
