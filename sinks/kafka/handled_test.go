package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// rejecter buries records of one topic for a pipeline.
type rejecter struct {
	e        *env
	pipeline string
	topic    string
}

func (r rejecter) reject(reason string, offsets ...int64) {
	task := stream.TaskID{Instance: r.pipeline + "@1", Stage: "main", Partition: stream.Partition{Topic: r.topic, Incarnation: "i", Number: 1}}
	var dead []stream.Rejected
	for _, o := range offsets {
		dead = append(dead, stream.Rejected{Offset: o, Raw: fmt.Appendf(nil, "record %d", o), Reason: reason})
	}
	bury(r.e.t, r.e, r.pipeline, task, dead...)
}

// handle notes what was done about a record, and returns where the notes lie.
func handle(e *env, d *DeadRecord, h Handling) (places []LetterID) {
	e.t.Helper()
	sent, errs := e.client(e.t).Send(testContext(e.t), HandlingRecords(d, h))
	if err := errors.Join(errs...); err != nil {
		e.t.Fatal(err)
	}
	for _, s := range sent {
		places = append(places, LetterID{s.Partition, s.Offset})
	}
	return places
}

// TestNotesTellWhatWasDoneAndAreNoLetters: a note is about all letters of a record, the last one counts, no reader sees notes,
// and a pipeline that rejects the record afterwards opens it again.
func TestNotesTellWhatWasDoneAndAreNoLetters(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		e.create(t, DeadLetterTopic, 2)
		topic := testservers.Name("events")
		first, second, third := rejecter{e, testservers.Name("a"), topic}, rejecter{e, testservers.Name("b"), topic}, rejecter{e, testservers.Name("c"), topic}
		first.reject("invalid_json", 3, 4)
		second.reject("missing_field", 3, 4)
		ours := e.letters(t, first.pipeline)
		if len(ours) != 2 || len(ours[0].Rejections) != 2 || ours[0].State() != Unhandled || ours[0].Handled() != nil {
			t.Fatalf("%+v", ours)
		}
		handle(e, ours[0], Handling{State: Dropped, By: "bob"})
		notes := handle(e, ours[0], Handling{State: Retried, By: "ada", Note: strings.Repeat("é", reasonBytes), SentTo: topic + "/1/9"})
		if len(notes) != 2 {
			t.Fatalf("%d notes, want one for each letter", len(notes))
		}
		ours = e.letters(t, second.pipeline)
		if h := ours[0].Handled(); len(ours) != 2 || ours[0].State() != Retried || h.By != "ada" || h.SentTo != topic+"/1/9" || h.At.IsZero() || len(h.Note) > reasonBytes {
			t.Errorf("%+v", ours[0])
		}
		if ours[1].State() != Unhandled {
			t.Errorf("nobody did anything about it: %+v", ours[1])
		}
		page, err := DeadRecordsBefore(testContext(t), e.config(), Backwards{Limit: 100, Budget: 10000, Passes: func(d *DeadRecord) bool { return d.Topic == topic }})
		if err != nil || len(page.Records) != 2 || len(page.Records[0].Rejections) != 2 || len(page.Records[1].Rejections) != 2 {
			t.Errorf("backwards: %+v: %v", page.Records, err)
		}
		if _, err := FindDeadRecord(testContext(t), e.config(), notes[0]); !errors.Is(err, ErrNoRecord) {
			t.Errorf("a note was found as a letter: %v", err)
		}
		for _, r := range ours[0].Rejections {
			d, err := FindDeadRecord(testContext(t), e.config(), r.ID)
			if err != nil || len(d.Rejections) != 2 || d.State() != Retried || string(d.Raw) != "record 3" {
				t.Errorf("%s: %+v %v", r.ID, d, err)
			}
		}
		third.reject("invalid_time", 3)
		if ours = e.letters(t, third.pipeline); len(ours) != 1 || len(ours[0].Rejections) != 3 || ours[0].State() != Unhandled {
			t.Errorf("%+v", ours)
		}
	})
}

// TestRecordsComeOnceHoweverTheyArePaged: records of several pipelines, with letters far apart and repeated, some handled, are
// paged through with pages of every size, while new ones come.
func TestRecordsComeOnceHoweverTheyArePaged(t *testing.T) {
	e := newEnv(t, newCluster(t).ListenAddrs())
	e.t = t
	e.create(t, DeadLetterTopic, 3)
	first, second := rejecter{e, "a", "events"}, rejecter{e, "b", "events"}
	const records = 12
	for o := range int64(records) {
		first.reject("invalid_json", o)
	}
	second.reject("missing_field", 0, 2, 4, 6, 8, 10)
	first.reject("invalid_json", 1, 2) // a restarted task repeats itself
	for _, d := range e.letters(t, "a")[3:6] {
		handle(e, d, Handling{State: Dropped, By: "ada"})
	}
	for _, tc := range []struct {
		what   string
		passes func(*DeadRecord) bool
		want   []int64
	}{
		{"all", nil, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"open", func(d *DeadRecord) bool { return d.State() == Unhandled }, []int64{0, 1, 2, 6, 7, 8, 9, 10, 11}},
		{"handled", func(d *DeadRecord) bool { return d.State() != Unhandled }, []int64{3, 4, 5}},
		{"of b", func(d *DeadRecord) bool {
			return slices.ContainsFunc(d.Rejections, func(r Rejection) bool { return r.Pipeline == "b" })
		}, []int64{0, 2, 4, 6, 8, 10}},
	} {
		for limit := 1; limit <= records+1; limit++ {
			got := map[int64]int{}
			for cursor, n := "", 0; ; n++ {
				page, err := DeadRecordsBefore(testContext(t), e.config(), Backwards{Cursor: cursor, Limit: limit, Budget: 10000, Passes: tc.passes})
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range page.Records {
					got[d.Offset]++
					if want := 2 - int(d.Offset%2); len(d.Rejections) != want || string(d.Raw) != fmt.Sprintf("record %d", d.Offset) {
						t.Errorf("%s by %d: %+v, want %d letters", tc.what, limit, d, want)
					}
				}
				if cursor = page.Cursor; cursor == "" {
					break
				}
				if n == 0 && limit == 2 && tc.what == "all" { // for the pages behind, it has not come
					second.reject("missing_field", 0)
				}
			}
			for _, o := range tc.want {
				if got[o] != 1 {
					t.Errorf("%s by %d: record %d came %d times", tc.what, limit, o, got[o])
				}
			}
			if len(got) != len(tc.want) {
				t.Errorf("%s by %d: %v, want %v", tc.what, limit, got, tc.want)
			}
		}
	}
	if _, err := DeadRecordsBefore(testContext(t), e.config(), Backwards{Cursor: "0:41", Limit: 1, Budget: 1}); stream.KindOfError(err) != stream.Reject {
		t.Errorf("a cursor that is none: %v", err)
	}
}
