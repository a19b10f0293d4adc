package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// look is how an owner was found: what it had in work, and how long it was seen to live on.
type look struct {
	work     offsets
	noted    bool
	restores bool
	lasted   time.Duration
	released bool
	waited   bool // it did not work alone
}

func judged(claimed int64, looks ...look) *entry {
	e := &entry{}
	for _, l := range looks {
		e.Isolated, e.Work, e.Noted, e.Restores = !l.waited, l.work, l.noted, l.restores
		ended := stream.Ended{Deaths: 1, Lasted: l.lasted}
		if l.released {
			ended.Deaths = 0
		}
		e.judge(ended, claimed)
	}
	return e
}

// TestWhatCountsAsEvidence: a record is condemned by two deaths in a row with it alone in work, and by nothing else.
func TestWhatCountsAsEvidence(t *testing.T) {
	one := look{work: offsets{50, 51}}
	with := func(change func(l *look)) look {
		l := one
		change(&l)
		return l
	}
	for name, tc := range map[string]struct {
		looks     []look
		condemned bool
	}{
		"once":                   {[]look{one}, false},
		"twice":                  {[]look{one, one}, true},
		"a wider span":           {[]look{{work: offsets{50, 60}}, {work: offsets{50, 60}}}, false},
		"another record":         {[]look{one, {work: offsets{51, 52}}}, false},
		"released":               {[]look{one, with(func(l *look) { l.released = true })}, false},
		"waited":                 {[]look{one, with(func(l *look) { l.waited = true })}, false},
		"hung":                   {[]look{one, with(func(l *look) { l.lasted = workPatience + time.Second })}, false},
		"claimed":                {[]look{{work: offsets{9, 10}}, {work: offsets{9, 10}}}, false},
		"restored":               {[]look{one, {restores: true}}, false},
		"between them no record": {[]look{one, {}, one}, true},
	} {
		e := judged(10, tc.looks...)
		if found := e.quarantines(); (len(found) == 1) != tc.condemned || tc.condemned && found[0].At.Offset != 50 {
			t.Errorf("%s: %+v", name, e)
		}
		if e.Stopped != "" {
			t.Errorf("%s: stopped, %s", name, e.Stopped)
		}
	}
}

// TestSurvivorsAreForgotten: two deaths with the record passed between them are not in a row.
func TestSurvivorsAreForgotten(t *testing.T) {
	e := judged(10, look{work: offsets{50, 51}})
	e.survived(offsets{50, 51})
	e.Isolated, e.Work = true, offsets{50, 51}
	e.judge(stream.Ended{Deaths: 1}, 10)
	if found := e.quarantines(); len(found) > 0 {
		t.Errorf("%+v", e)
	}
}

// TestRegionsAreWorkedOffOneByOne, and spans end in front of them.
func TestRegionsAreWorkedOffOneByOne(t *testing.T) {
	e := judged(0, look{work: offsets{50, 60}}, look{work: offsets{20, 30}})
	for offset, want := range map[int64]int64{0: 20, 20: 20, 29: 29, 30: 50, 55: 55, 60: maxOffset} {
		alone, next := e.single(offset)
		if next != want || alone != (next == offset) {
			t.Errorf("at %d: alone %t, next %d", offset, alone, next)
		}
	}
	if e.last() != 60 {
		t.Error(e.last())
	}
}

// TestStops: deaths by what was claimed already, or by one record after the other.
func TestStops(t *testing.T) {
	replayed := look{work: offsets{5, 6}, noted: true}
	if e := judged(10, replayed); e.Stopped != "" {
		t.Error(e.Stopped)
	}
	if e := judged(10, replayed, replayed); !strings.Contains(e.Stopped, "offset 5") || !strings.Contains(e.Stopped, "tidewatch_journal") {
		t.Error(e.Stopped)
	}
	var looks []look
	for n := range int64(maxStreak) {
		l := look{work: offsets{10 + n, 11 + n}}
		looks = append(looks, l, l)
	}
	if e := judged(10, looks...); e.Stopped != "" || len(e.Died) != deathsKept {
		t.Errorf("%+v", e)
	}
	more := look{work: offsets{90, 91}}
	if e := judged(10, append(looks, more, more)...); !strings.Contains(e.Stopped, "16 in a row") {
		t.Error(e.Stopped)
	}
}
