package kafka

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/stream"
)

// DeadRecord is what dead letters are about: a record, about which every pipeline that reads its topic may have written a
// letter, or a parked row of an output, with one letter. Readers return complete ones, which belong to the caller.
type DeadRecord struct {
	Topic       string      `json:"topic"`
	Incarnation string      `json:"incarnation,omitempty"` // the topic's id
	Partition   int32       `json:"partition"`             // -1 if the letter does not say
	Offset      int64       `json:"offset"`                // -1 if the letter does not say
	Timestamp   string      `json:"timestamp"`             // the broker's, of the record; RFC 3339
	Key         []byte      `json:"key,omitempty"`
	Raw         []byte      `json:"raw"`
	Size        int         `json:"size"`          // length of the record's value; more than Raw has where that was cut
	Rejections  []Rejection `json:"rejections"`    // at least one; one for each pipeline, by its name
	Row         *Row        `json:"row,omitempty"` // of a parked row, whose Offset is that of its version; nil of records
}

// Row says where a parked row was on its way to.
type Row struct {
	Sink   string `json:"sink"` // kind of the sink: kafka, redis, postgres
	Output string `json:"output"`
	Target string `json:"target"` // the topic, the key
	Name   string `json:"name"`   // what tells it from the others of the target
	Task   string `json:"task"`
	Phase  string `json:"phase"`
	Step   string `json:"step"`
}

// Rejection is the letter of one pipeline about a record.
type Rejection struct {
	ID       LetterID  `json:"id"`
	Pipeline string    `json:"pipeline"`
	Kind     string    `json:"kind"` // a name of a stream.LetterKind; of a newer version of tidewatch perhaps
	Reason   string    `json:"reason"`
	Detail   string    `json:"detail,omitempty"` // the stack of a panic, the answer of a server
	Written  time.Time `json:"written"`
	Handled  *Handling `json:"handled,omitempty"` // nil if nothing was done

	repeats []LetterID // a restarted task repeats itself
}

// LetterID is the place of a letter on DeadLetterTopic. Its text is PARTITION-OFFSET.
type LetterID struct {
	Partition int32
	Offset    int64
}

// String is PARTITION-OFFSET.
func (id LetterID) String() string {
	return strconv.Itoa(int(id.Partition)) + "-" + strconv.FormatInt(id.Offset, 10)
}

// MarshalText implements encoding.TextMarshaler.
func (id LetterID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// Place is TOPIC/PARTITION/OFFSET of a record, and of a parked row TARGET/NAME.
func (d *DeadRecord) Place() string {
	if d.Row != nil {
		return d.Row.Target + "/" + d.Row.Name
	}
	return d.Topic + "/" + strconv.Itoa(int(d.Partition)) + "/" + strconv.FormatInt(d.Offset, 10)
}

// Has reports whether one of the letters, repeats included, lies there.
func (d *DeadRecord) Has(id string) bool {
	return slices.ContainsFunc(d.Rejections, func(r Rejection) bool {
		return r.ID.String() == id || slices.ContainsFunc(r.repeats, func(x LetterID) bool { return x.String() == id })
	})
}

// Handled is what was done last about the record, nil if it is open: if nothing was done about one of its letters. So a
// pipeline that rejects the record after it was handled opens it again.
func (d *DeadRecord) Handled() (last *Handling) {
	for i := range d.Rejections {
		h := d.Rejections[i].Handled
		if h == nil {
			return nil
		}
		if last == nil || h.At.After(last.At) {
			last = h
		}
	}
	return last
}

// State is Unhandled, or what was done last.
func (d *DeadRecord) State() string {
	if h := d.Handled(); h != nil {
		return h.State
	}
	return Unhandled
}

// letterID is what two letters of one rejection have in common.
type letterID struct {
	recordID

	pipeline string
}

// recordID is what all letters about a record have in common. A topic that was made anew has other records at the same places.
// Of an offset many rows may be parked.
type recordID struct {
	topic, incarnation string
	partition          int32
	offset             int64
	target, row        string
}

// gathering puts letters and notes together by record, in whatever order they are read.
type gathering struct {
	records map[recordID]*DeadRecord
	notes   map[letterID]Handling
}

func newGathering() *gathering {
	return &gathering{map[recordID]*DeadRecord{}, map[letterID]Handling{}}
}

// take takes a record of DeadLetterTopic. news says that it was a letter of a pipeline from which the record had none; record
// is nil for a note. A letter that does not say where its record was stands for itself.
func (g *gathering) take(r *kgo.Record) (record *DeadRecord, news bool) {
	d, handling := letter(r)
	id, one := d.id(), &d.Rejections[0]
	if handling != nil {
		if n, ok := g.notes[letterID{id, one.Pipeline}]; !ok || handling.At.After(n.At) {
			g.notes[letterID{id, one.Pipeline}] = *handling
		}
		return nil, false
	}
	known := g.records[id]
	if known == nil || d.Offset < 0 {
		g.records[id] = d
		return d, true
	}
	at, found := slices.BinarySearchFunc(known.Rejections, one.Pipeline, func(r Rejection, name string) int { return strings.Compare(r.Pipeline, name) })
	if found {
		known.Rejections[at].repeats = append(known.Rejections[at].repeats, one.ID)
		return known, false
	}
	known.Rejections = slices.Insert(known.Rejections, at, *one)
	return known, true
}

// note writes down what was done about each letter of the record, as far as notes were taken.
func (g *gathering) note(d *DeadRecord) {
	for i := range d.Rejections {
		r := &d.Rejections[i]
		if h, ok := g.notes[letterID{d.id(), r.Pipeline}]; ok && d.Offset >= 0 {
			r.Handled = &h
		}
	}
}

func (d *DeadRecord) id() recordID {
	id := recordID{topic: d.Topic, incarnation: d.Incarnation, partition: d.Partition, offset: d.Offset}
	if d.Row != nil {
		id.target, id.row = d.Row.Sink+" "+d.Row.Target, d.Row.Name
	}
	return id
}

// letter reads the headers; one that is missing leaves its field empty. handling is not nil if the record is a note, and no
// letter.
func letter(r *kgo.Record) (d *DeadRecord, handling *Handling) {
	one := Rejection{ID: LetterID{r.Partition, r.Offset}, Kind: stream.LetterRejected.String(), Written: r.Timestamp.UTC()} // old letters name no kind
	d = &DeadRecord{Key: r.Key, Raw: r.Value, Size: len(r.Value), Partition: -1, Offset: -1}
	row := Row{}
	for _, h := range r.Headers {
		v := string(h.Value)
		if row.take(h.Key, v) {
			continue
		}
		switch h.Key {
		case headerPipeline:
			one.Pipeline = v
		case headerTopic:
			d.Topic = v
		case headerIncarnation:
			d.Incarnation = v
		case headerKind:
			one.Kind = v
		case headerReason:
			one.Reason = v
		case headerDetail:
			one.Detail = v
		case headerTimestamp:
			d.Timestamp = v
		case headerPartition:
			d.Partition = int32(number(v, 32, -1))
		case HeaderOffset:
			d.Offset = number(v, 64, -1)
		case headerSize:
			d.Size = int(number(v, 32, int64(len(r.Value))))
		}
	}
	if row.Sink != "" {
		d.Row = &row
	}
	d.Rejections = []Rejection{one}
	return d, handlingOf(r)
}

// take takes a header that tells of a row.
func (r *Row) take(key, value string) bool {
	switch key {
	case headerSink:
		r.Sink = value
	case headerOutput:
		r.Output = value
	case headerTarget:
		r.Target = value
	case headerRow:
		r.Name = value
	case HeaderTask:
		r.Task = value
	case HeaderPhase:
		r.Phase = value
	case HeaderStep:
		r.Step = value
	default:
		return false
	}
	return true
}

// number reads a header, or is otherwise.
func number(text string, bits int, otherwise int64) int64 {
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return otherwise
	}
	return n
}
