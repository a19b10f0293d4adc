package pipelines

import (
	"cmp"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// caseRecord is a record of a case before the log is put in order.
type caseRecord struct {
	arrives time.Duration
	record  engine.SimRecord
}

// records writes the log of a case: in the order of arrival, and of the file where two arrive together.
func (k *Case) records(s *Spec) []engine.SimRecord {
	var all []caseRecord
	for i := range k.Given {
		all = append(all, k.Given[i].records(s)...)
	}
	slices.SortStableFunc(all, func(a, b caseRecord) int { return cmp.Compare(a.arrives, b.arrives) })
	log := make([]engine.SimRecord, 0, len(all)+1)
	for _, r := range all {
		log = append(log, r.record)
	}
	if k.Until.IsSet() {
		log = append(log, engine.SimRecord{Tick: caseTime(k.Until.Duration)})
	}
	return log
}

func (g *Given) records(s *Spec) (list []caseRecord) {
	topic := s.Source.Topics[0].Value
	if g.Topic.IsSet() {
		topic = g.Topic.Value
	}
	for i := range max(g.Times.Value, 1) {
		shift := time.Duration(i) * g.Every.Duration
		at := g.Time.Duration + shift
		arrives := at
		if g.Arrives.IsSet() {
			arrives = g.Arrives.Duration + shift
		}
		list = append(list, caseRecord{arrives, engine.SimRecord{
			Topic: topic, Partition: int32(g.Part.Value),
			Message: stream.Message{Timestamp: caseTime(arrives), Value: g.value(at)},
		}})
	}
	return list
}

// value is the record's bytes: the event as JSON, with its time unless the case says another.
func (g *Given) value(at time.Duration) []byte {
	if g.Raw.IsSet() {
		return []byte(g.Raw.Value)
	}
	b := []byte{'{'}
	timed := false
	for i, f := range g.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		timed = timed || f.Name.Value == schemas.TimeField
		b = append(appendJSON(b, f.Name.Value), ':')
		b = append(b, f.JSON...)
	}
	if !timed {
		if len(g.Fields) > 0 {
			b = append(b, ',')
		}
		b = append(appendJSON(b, schemas.TimeField), ':')
		b = appendJSON(b, caseTime(at).Go().Format(time.RFC3339Nano))
	}
	return append(b, '}')
}
