package kafka

import (
	"context"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
)

// Headers of a note: a record without a value on DeadLetterTopic, behind the letter in the same partition, that says what
// somebody did about it. The headers that tell the place of the rejected record are those of the letter.
const (
	headerHandled = "tidewatch.handled"
	headerBy      = "tidewatch.by"
	headerNote    = "tidewatch.note"
	headerSentTo  = "tidewatch.sent_to"
)

// HeaderRetryOf is on a record that was sent again: the place of the rejected one, TOPIC/PARTITION/OFFSET.
const HeaderRetryOf = "tidewatch.retry_of"

// What can be done about a dead letter.
const (
	Retried = "retried" // its record was sent to its topic again
	Dropped = "dropped" // nobody needs it
)

// Handling is what was done about a dead letter, and by whom.
type Handling struct {
	State  string    `json:"state"` // Retried or Dropped
	By     string    `json:"by"`
	Note   string    `json:"note,omitempty"`
	SentTo string    `json:"sent_to,omitempty"` // where a retried record lies now
	At     time.Time `json:"at"`                // the broker's
}

// Handled knows what was done about the letters of a topic.
type Handled struct{ notes map[letterID]Handling }

// Of is what was done last about a letter, nil if nothing was.
func (h *Handled) Of(d *DeadLetter) *Handling {
	if n, ok := h.notes[d.id()]; ok && d.Offset >= 0 {
		return &n
	}
	return nil
}

// ReadHandled reads what was done about the letters that are on the topic now. Errors are Retry where the cluster is away.
func ReadHandled(ctx context.Context, c kafkaclient.Config) (*Handled, error) {
	h := &Handled{notes: map[letterID]Handling{}}
	return h, eachRecord(ctx, c, func(r *kgo.Record) error {
		if !isNote(r) {
			return nil
		}
		d := letter(r)
		n := Handling{At: r.Timestamp.UTC()}
		for _, x := range r.Headers {
			switch v := string(x.Value); x.Key {
			case headerHandled:
				n.State = v
			case headerBy:
				n.By = v
			case headerNote:
				n.Note = v
			case headerSentTo:
				n.SentTo = v
			}
		}
		h.notes[d.id()] = n
		return nil
	})
}

// HandlingRecord is the note that h was done about a letter, to be sent by Client.Send. At is ignored.
func HandlingRecord(l *PlacedLetter, h Handling) Record {
	all := []kgo.RecordHeader{{Key: headerHandled, Value: []byte(h.State)}, {Key: headerBy, Value: []byte(cut(h.By))}}
	if h.Note != "" {
		all = append(all, kgo.RecordHeader{Key: headerNote, Value: []byte(cut(h.Note))})
	}
	if h.SentTo != "" {
		all = append(all, kgo.RecordHeader{Key: headerSentTo, Value: []byte(h.SentTo)})
	}
	return Record{Topic: DeadLetterTopic, Partition: l.AtPartition, Headers: append(all, l.placeHeaders()...)}
}

func cut(text string) string { return strings.ToValidUTF8(text[:min(len(text), reasonBytes)], "") }

// isNote tells a note from a letter.
func isNote(r *kgo.Record) bool {
	for _, h := range r.Headers {
		if h.Key == headerHandled {
			return true
		}
	}
	return false
}
