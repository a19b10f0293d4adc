package schemas

import (
	"github.com/tidewatch/tidewatch/stream"
)

// row keeps what every decoder does around the columns of an event. A record is judged first and appended then, so that a
// rejected one leaves nothing.
type row struct {
	options Options
	// The places in the record that may name the producer, in the order in which they are asked; -1 where the definition does
	// not know the field.
	producers [3]int
}

// begin empties dictionaries that have grown too large, before the first row of a batch.
func (r *row) begin(b *stream.Batch) {
	for i := range b.Cols {
		d := b.Cols[i].Dict
		if d != nil && (d.Len() > r.options.DictEntries || d.Size() > r.options.DictBytes) {
			d.Reset()
		}
	}
}

// judgeSize rejects a record that is too large to be read.
func (r *row) judgeSize(m *stream.Message) error {
	if len(m.Value) > r.options.MaxBytes {
		return reject(TooLarge, "the record has %d bytes, at most %d are read", len(m.Value), r.options.MaxBytes)
	}
	return nil
}

// instant is the event time at a place of the record that holds a number or a string.
func (r *row) instant(rec *record, place int, name string) (stream.Time, error) {
	if rec.kinds[place] == number || rec.kinds[place] == wideNumber {
		return instant(rec.text, &rec.values[place]), nil
	}
	text := rec.at(place)
	t, ok := parseInstant(text)
	if !ok {
		return 0, reject(InvalidTime, "%s: %q is neither RFC 3339 nor a number", name, clip(text))
	}
	return t, nil
}

// judgeTime rejects impossible event times.
func (r *row) judgeTime(t stream.Time, m *stream.Message, name string) error {
	if t == tooOld {
		return reject(TimeTooOld, "%s: it is before the year 2000", name)
	}
	if t < year2000 {
		return reject(TimeTooOld, "%s: %s is before the year 2000", name, t)
	}
	if t == tooFuture && m.Timestamp <= 0 {
		return reject(TimeInFuture, "%s: it is after the year 2262", name)
	}
	if m.Timestamp > 0 && t.Sub(m.Timestamp) > r.options.MaxAhead {
		return reject(TimeInFuture, "%s: %s is more than %s ahead of the record, which is of %s", name, instantName(t), r.options.MaxAhead, m.Timestamp)
	}
	return nil
}

func instantName(t stream.Time) string {
	if t == tooFuture {
		return "a time after the year 2262"
	}
	return t.String()
}

// finish appends the event columns of the row whose fields were appended just now.
func (r *row) finish(rec *record, t stream.Time, m *stream.Message, b *stream.Batch) {
	b.Time = append(b.Time, t)
	b.Offset = append(b.Offset, m.Offset)
	b.Timestamp = append(b.Timestamp, m.Timestamp)
	b.Bytes = append(b.Bytes, uint32(len(m.Value)))
	b.Producer = append(b.Producer, r.producer(rec))
	b.SetLen(b.Len() + 1)
}

// producer is the hash of the first name that is there and not empty.
func (r *row) producer(rec *record) uint64 {
	for _, place := range r.producers {
		if place >= 0 && rec.present(place) && rec.values[place].start < rec.values[place].end {
			return stream.HashProducer(rec.at(place))
		}
	}
	return 0
}
