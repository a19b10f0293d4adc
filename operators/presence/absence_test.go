package presence_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/operators/presence"
	"github.com/tidewatch/tidewatch/stream"
)

func newAbsence(t interface{ Fatal(...any) }, cfg *presence.AbsenceConfig) stream.Operator {
	op, err := presence.NewAbsence(cfg, rollup)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// absenceOracle looks, at the end of every window, for the groups that were there within the horizon and are not now.
func absenceOracle(cfg *presence.AbsenceConfig, steps []step) (lines []string) {
	last := map[group]stream.Time{}
	judged := stream.NoTime
	for i := range steps {
		s := &steps[i]
		if s.phase != stream.Final {
			if len(last) == 0 && len(s.groups) > 0 {
				judged = max(judged, s.end-every)
			}
			for _, g := range s.groups {
				if held, ok := last[g]; !ok || held < s.end {
					last[g] = s.end
				}
			}
		}
		for ; len(last) > 0 && s.advance != 0 && judged+every <= s.advance; judged += every {
			at := judged + every
			var rows []string
			for g, end := range last {
				switch {
				case at-end > stream.Time(cfg.Forget):
					delete(last, g)
				case at > end:
					rows = append(rows, absent(g, at, end))
				}
			}
			slices.Sort(rows)
			for _, phase := range []string{"closed", "final"} {
				for _, r := range rows {
					lines = append(lines, phase+" "+r)
				}
			}
		}
	}
	return lines
}

func absent(g group, at, end stream.Time) string {
	port := "<nil>"
	if g.port > 0 {
		port = fmt.Sprint(g.port)
	}
	e := int64(end)
	return fmt.Sprintf("%d u%d %s %d %s %d %d %s %d %s", at/second, g.user, port, (at-end)/every, end, e+3, e+4,
		stream.Time(e+5), e+6, stream.Time(e+7))
}

// sorted orders the rows of each window and phase: their order is that of slots and numbers, which an oracle does not know.
func sorted(lines []string) []string {
	key := func(l string) string { return strings.Join(strings.Fields(l)[:2], " ") }
	for lo := 0; lo < len(lines); {
		hi := lo
		for hi < len(lines) && key(lines[hi]) == key(lines[lo]) {
			hi++
		}
		slices.SortFunc(lines[lo:hi], cmp.Compare[string])
		lo = hi
	}
	return lines
}

func TestAbsence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := &presence.AbsenceConfig{
			By: by, Every: time.Duration(every), Forget: time.Duration(every) * time.Duration(rapid.IntRange(1, 6).Draw(t, "forget")),
		}
		steps := drawSteps(t)
		fresh := func() stream.Operator { return newAbsence(t, cfg) }
		got, plain := run(t, true, fresh, steps), run(t, false, fresh, steps)
		if !slices.Equal(got, plain) {
			t.Fatalf("the borders of batches changed the output:\n%s\ninstead of\n%s", strings.Join(got, "\n"), strings.Join(plain, "\n"))
		}
		if want := sorted(absenceOracle(cfg, steps)); !slices.Equal(sorted(got), want) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestAbsenceIsDue: it wants to be told of the end of every window as long as it remembers a group.
func TestAbsenceIsDue(t *testing.T) {
	op, err := presence.NewAbsence(&presence.AbsenceConfig{By: by, Every: time.Duration(every), Forget: time.Duration(2 * every)}, rollup)
	if err != nil {
		t.Fatal(err)
	}
	if op.Due() != stream.MaxTime {
		t.Error("it remembers no group, but something is due")
	}
	s := &step{phase: stream.Closed, end: epoch, groups: []group{{1, 1}}}
	out := &transcript{lines: &[]string{}}
	if err := op.Process(batchOf(s, s.groups), out); err != nil {
		t.Fatal(err)
	}
	for at := epoch; at <= epoch+2*every; at += every {
		if op.Due() != at {
			t.Fatalf("due at %v, want %v", op.Due(), at)
		}
		if err := op.Advance(stream.Advance{Mark: at, RecordMark: at}, out); err != nil {
			t.Fatal(err)
		}
	}
	if err := op.Advance(stream.Advance{Mark: epoch + 3*every, RecordMark: epoch}, out); err != nil {
		t.Fatal(err)
	}
	if op.Due() != stream.MaxTime {
		t.Error("the group is forgotten, but something is due")
	}
}

func TestAbsenceConfigFaults(t *testing.T) {
	good := presence.AbsenceConfig{By: by, Every: time.Minute, Forget: time.Hour}
	for want, change := range map[string]func(c *presence.AbsenceConfig){
		"windows end every 0s":       func(c *presence.AbsenceConfig) { c.Every = 0 },
		"forget is 1s":               func(c *presence.AbsenceConfig) { c.Forget = time.Second },
		`column "usr" is not in the`: func(c *presence.AbsenceConfig) { c.By = []string{"usr"} },
	} {
		cfg := good
		change(&cfg)
		if _, err := presence.NewAbsence(&cfg, rollup); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	other := &stream.Schema{Fields: []stream.Field{{Name: "missed", Kind: stream.Int}}}
	if _, err := presence.AbsenceSchema([]string{"missed"}, other); err == nil {
		t.Error("a group column called missed: want an error")
	}
}

func FuzzRestoreAbsence(f *testing.F) {
	fuzzRestore(f, func() stream.Operator {
		return newAbsence(f, &presence.AbsenceConfig{By: by, Every: time.Duration(every), Forget: time.Minute})
	})
}

// TestAbsenceHeir: between the state and the cut nobody counts as missing; behind it the count goes on.
func TestAbsenceHeir(t *testing.T) {
	cfg := &presence.AbsenceConfig{By: by, Every: time.Duration(every), Forget: time.Duration(100 * every)}
	var lines []string
	out := &transcript{lines: &lines}
	advance := func(op stream.Operator, at stream.Time) {
		out.version++
		if err := op.Advance(stream.Advance{Mark: at, RecordMark: at, At: stream.Version{Offset: out.version}}, out); err != nil {
			t.Fatal(err)
		}
	}
	old := newAbsence(t, cfg)
	s := &step{phase: stream.Closed, end: epoch, groups: []group{{1, 1}}}
	if err := old.Process(batchOf(s, s.groups), out); err != nil {
		t.Fatal(err)
	}
	advance(old, epoch+2*every) // missed two windows
	w := stream.NewStateWriter()
	if err := old.Snapshot(w); err != nil {
		t.Fatal(err)
	}
	r, err := stream.NewStateReader(w.Finish())
	if err != nil {
		t.Fatal(err)
	}
	heir := newAbsence(t, cfg)
	cut := epoch + 12*every
	if err := heir.(stream.Heir).Inherit(r, cut); err != nil {
		t.Fatal(err)
	}
	if heir.(stream.Dated).Due() != cut+every {
		t.Errorf("the heir looks at %v first, want %v", heir.(stream.Dated).Due(), cut+every)
	}
	lines = nil
	advance(heir, cut+every)
	if want := fmt.Sprintf("closed %d u1 1 3 %v", (cut+every)/second, cut-2*every); len(lines) == 0 || !strings.HasPrefix(lines[0], want) {
		t.Errorf("%q, want the third window to be missed: %s", lines, want)
	}
}
