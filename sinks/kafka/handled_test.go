package kafka

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// TestNotesTellWhatWasDoneAndAreNoLetters: the last note about a letter counts, another pipeline's letter about the same
// record is not touched, and no reader of letters sees a note, forwards, backwards or by its place.
func TestNotesTellWhatWasDoneAndAreNoLetters(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		e.create(t, DeadLetterTopic, 2)
		pipeline, other := testservers.Name("pipe"), testservers.Name("pipe")
		task := stream.TaskID{Instance: pipeline + "@1", Stage: "main", Partition: stream.Partition{Topic: "events", Incarnation: "i", Number: 1}}
		dead := []stream.Rejected{{Offset: 3, Raw: []byte("a"), Reason: "invalid_json"}, {Offset: 4, Raw: []byte("b"), Reason: "invalid_json"}}
		bury(t, e, pipeline, task, dead...)
		bury(t, e, other, task, dead...)
		var ours []PlacedLetter
		err := ReadPlacedLetters(testContext(t), e.config(), func(l PlacedLetter) error {
			if l.Pipeline == pipeline {
				ours = append(ours, l)
			}
			return nil
		})
		if err != nil || len(ours) != 2 {
			t.Fatal(ours, err)
		}
		c := e.client(t)
		var place int64
		for _, h := range []Handling{{State: Dropped, By: "bob"}, {State: Retried, By: "ada", Note: strings.Repeat("é", reasonBytes), SentTo: "events/1/9"}} {
			places, errs := c.Send(testContext(t), []Record{HandlingRecord(&ours[0], h)})
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			place = places[0].Offset
		}
		handled, err := ReadHandled(testContext(t), e.config())
		if err != nil {
			t.Fatal(err)
		}
		if h := handled.Of(&ours[0].DeadLetter); h == nil || h.State != Retried || h.By != "ada" || h.SentTo != "events/1/9" || h.At.IsZero() || len(h.Note) > reasonBytes {
			t.Errorf("%+v", h)
		}
		if h := handled.Of(&ours[1].DeadLetter); h != nil {
			t.Errorf("nobody did anything about it: %+v", h)
		}
		if got := len(e.letters(t, pipeline)) + len(e.letters(t, other)); got != 4 {
			t.Errorf("%d letters, want 4", got)
		}
		page, err := LettersBefore(testContext(t), e.config(), Backwards{Limit: 100, Budget: 1000, Passes: func(d *DeadLetter) bool { return d.Pipeline == pipeline || d.Pipeline == other }})
		if err != nil || len(page.Letters) != 4 {
			t.Errorf("%d letters backwards, want 4: %v", len(page.Letters), err)
		}
		if _, err := FindLetter(testContext(t), e.config(), ours[0].AtPartition, place); !errors.Is(err, ErrNoRecord) {
			t.Errorf("a note was found as a letter: %v", err)
		}
	})
}
