package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

func ledgerRowOfTest(t *testing.T, task string, epoch int64, rec *stream.Record) *ledgerRow {
	t.Helper()
	raw, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	row, err := ledgerOfRow(task, epoch, raw)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// TestLedgersAreSummedUp: by task, by stage, by pipeline. Differences of opposite signs do not hide each other.
func TestLedgersAreSummedUp(t *testing.T) {
	rec := func(first, offset int64, gaps *stream.Gaps, counts ...int64) *stream.Record {
		r := &stream.Record{First: first, At: stream.Version{Offset: offset}, Gaps: gaps}
		copy(r.Ledger[:], counts)
		return r
	}
	rows := func() []*ledgerRow {
		return []*ledgerRow{
			ledgerRowOfTest(t, "p@1/fold/m.i/0", 3, rec(10, 20, &stream.Gaps{Marker: 2, Aborted: 1}, 1, 0, 0, 0, 0, 0, 4, 4)), // 9 of 10
			ledgerRowOfTest(t, "p@1/fold/m.i/1", 4, rec(0, 5, nil, 0, 0, 0, 0, 0, 0, 6, 0)),                                   // 6 of 5
			ledgerRowOfTest(t, "p@1/main/x.i/0", 5, rec(0, 2, nil, 0, 0, 0, 0, 0, 0, 2, 0)),
		}
	}
	for by, want := range map[string]string{
		"task": `p@1/fold/m.i/0,10,20,1,0,0,0,0,0,4,4,2,1,1,1
p@1/fold/m.i/1,0,5,0,0,0,0,0,0,6,0,0,0,0,-1
p@1/main/x.i/0,0,2,0,0,0,0,0,0,2,0,0,0,0,0`,
		"stage": `p@1,fold,2,10,25,1,0,0,0,0,0,10,4,2,1,1,2
p@1,main,1,0,2,0,0,0,0,0,0,2,0,0,0,0,0`,
		"pipeline": `p@1,3,10,27,1,0,0,0,0,0,12,4,2,1,1,2`,
	} {
		f := ledgerFlags{by: by}
		l := ledgerListing(by, f.summed(rows()))
		var lines []string
		for _, cells := range l.rows {
			lines = append(lines, strings.Join(cells, ","))
			if len(cells) != len(l.columns) {
				t.Errorf("by %s: %d cells, columns %v", by, len(cells), l.columns)
			}
		}
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("by %s:\n%s\nwant\n%s", by, got, want)
		}
	}
}

// TestStagesOfTheLedgerStandApart: where the newest claims of two stages are of different event times, somebody who compares their
// sums is told.
func TestStagesOfTheLedgerStandApart(t *testing.T) {
	row := func(task string, mark stream.Time) *ledgerRow {
		return ledgerRowOfTest(t, task, 1, &stream.Record{Mark: mark})
	}
	at := stream.TimeOf(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC))
	rows := []*ledgerRow{
		row("apart@1/fold/m.i/0", at.Add(time.Minute)), row("apart@1/fold/m.i/1", at.Add(time.Hour)),
		row("apart@1/merge/x.i/0", at), row("apart@1/merge/x.i/1", at.Add(time.Minute)),
		row("begun@1/fold/m.i/0", at), row("begun@1/merge/x.i/0", stream.NoTime),
		row("same@1/fold/m.i/0", at), row("same@1/fold/m.i/1", at.Add(time.Hour)), row("same@1/merge/x.i/0", at),
		row("single@1/main/m.i/0", at), row("single@1/main/m.i/1", at.Add(time.Hour)),
	}
	want := `apart@1: the watermarks of the stages are fold 2026-11-30T12:01:00Z, merge 2026-11-30T12:00:00Z; what lies between is on its way
begun@1: the watermarks of the stages are fold 2026-11-30T12:00:00Z, merge none yet; what lies between is on its way`
	if got := strings.Join(stagesApart(rows), "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	f := ledgerFlags{by: "stage"}
	for _, sum := range f.summed(rows) {
		wanted := sum.Instance != "begun@1" || sum.Stage != "merge"
		if (sum.Watermark != nil) != wanted || sum.Instance == "apart@1" && sum.Stage == "merge" && !sum.Watermark.Equal(at.Go()) {
			t.Errorf("%s of %s: watermark %v", sum.Stage, sum.Instance, sum.Watermark)
		}
	}
}

// TestStepsOfTheLedger: what was claimed between two looks.
func TestStepsOfTheLedger(t *testing.T) {
	rec := &stream.Record{At: stream.Version{Offset: 10}, Ledger: stream.Ledger{stream.BucketCounted: 9, stream.BucketGap: 1}}
	before := ledgerRowOfTest(t, "p@1/main/m.i/0", 3, rec)
	if s := stepOf(before, before); s != nil {
		t.Fatalf("%+v", s)
	}
	rec.At.Offset, rec.Ledger[stream.BucketCounted], rec.Ledger[stream.BucketGap], rec.Gaps = 15, 11, 4, &stream.Gaps{Marker: 3}
	got, err := json.Marshal(stepOf(before, ledgerRowOfTest(t, "p@1/main/m.i/0", 5, rec)))
	want := `{"task":"p@1/main/m.i/0","epochs":[4,5],"offsets":[10,15],"ledger":{"counted":2,"gap":3},"gaps":{"marker":3},"difference":0}`
	if err != nil || string(got) != want {
		t.Fatalf("%s\nwant %s %v", got, want, err)
	}
}
