package kafka

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
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

// The states of a rejected record.
const (
	Unhandled = "open"    // nothing was done about it
	Retried   = "retried" // it was sent to its topic again
	Dropped   = "dropped" // nobody needs it
)

// Handling is what was done about a rejected record, and by whom.
type Handling struct {
	State  string    `json:"state"` // Retried or Dropped
	By     string    `json:"by"`
	Note   string    `json:"note,omitempty"`
	SentTo string    `json:"sent_to,omitempty"` // where a retried record lies now
	At     time.Time `json:"at"`                // the broker's
}

// HandlingRecords are the notes that h was done about a record, one for each of its letters, to be sent by Client.Send. At is
// ignored.
func HandlingRecords(d *DeadRecord, h Handling) (notes []Record) {
	for i := range d.Rejections {
		l := &d.Rejections[i]
		all := []kgo.RecordHeader{{Key: headerHandled, Value: []byte(h.State)}, {Key: headerBy, Value: []byte(cut(h.By, reasonBytes))}}
		if h.Note != "" {
			all = append(all, kgo.RecordHeader{Key: headerNote, Value: []byte(cut(h.Note, reasonBytes))})
		}
		if h.SentTo != "" {
			all = append(all, kgo.RecordHeader{Key: headerSentTo, Value: []byte(h.SentTo)})
		}
		all = append(all,
			kgo.RecordHeader{Key: headerPipeline, Value: []byte(l.Pipeline)},
			kgo.RecordHeader{Key: headerTopic, Value: []byte(d.Topic)},
			kgo.RecordHeader{Key: headerIncarnation, Value: []byte(d.Incarnation)},
			kgo.RecordHeader{Key: headerPartition, Value: []byte(strconv.Itoa(int(d.Partition)))},
			kgo.RecordHeader{Key: HeaderOffset, Value: []byte(strconv.FormatInt(d.Offset, 10))})
		if d.Row != nil {
			all = append(all,
				kgo.RecordHeader{Key: headerSink, Value: []byte(d.Row.Sink)},
				kgo.RecordHeader{Key: headerTarget, Value: []byte(d.Row.Target)},
				kgo.RecordHeader{Key: headerRow, Value: []byte(d.Row.Name)})
		}
		notes = append(notes, Record{Topic: DeadLetterTopic, Partition: l.ID.Partition, Headers: all})
	}
	return notes
}

// cut is the beginning of a text, as UTF-8.
func cut(text string, most int) string { return strings.ToValidUTF8(text[:min(len(text), most)], "") }

// handlingOf reads a note; nil if the record is a letter.
func handlingOf(r *kgo.Record) *Handling {
	h, note := &Handling{At: r.Timestamp.UTC()}, false
	for _, x := range r.Headers {
		switch v := string(x.Value); x.Key {
		case headerHandled:
			h.State, note = v, true
		case headerBy:
			h.By = v
		case headerNote:
			h.Note = v
		case headerSentTo:
			h.SentTo = v
		}
	}
	if !note {
		return nil
	}
	return h
}
