package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// notStored is the code of an event that the broker did not take.
const notStored = "not_stored"

// submit puts the events that are valid on the topic metrics. The decoder that will read them judges them here, so nothing
// that was accepted becomes a dead letter.
func (s *Server) submit(ctx context.Context, events []json.RawMessage, now stream.Time) (*CustomReceipt, error) {
	receipt := &CustomReceipt{Rejected: []RejectedEvent{}}
	j, err := newJudge()
	if err != nil {
		return nil, err
	}
	var records []LogRecord
	var indices []int
	for i, e := range events {
		rec, err := j.record(e, now)
		if err != nil {
			receipt.Rejected = append(receipt.Rejected, RejectedEvent{i, string(schemas.CodeOf(err)), textOf(err)})
			continue
		}
		records, indices = append(records, rec), append(indices, i)
	}
	if len(records) == 0 {
		return receipt, nil
	}
	_, errs := s.c.Log.Append(ctx, records)
	stored := 0
	for k, err := range errs {
		if err == nil {
			stored++
			continue
		}
		s.c.Logger.Warn("a submitted event was not stored", "error", err)
		receipt.Rejected = append(receipt.Rejected, RejectedEvent{indices[k], notStored, "the broker did not take it: send it again"})
	}
	if stored == 0 {
		return nil, fmt.Errorf("store submitted events: %w", errs[0])
	}
	receipt.Accepted = stored
	slices.SortFunc(receipt.Rejected, func(a, b RejectedEvent) int { return a.Index - b.Index })
	return receipt, nil
}

// textOf is what a rejection says without its code.
func textOf(err error) string {
	text := err.Error()
	if code := string(schemas.CodeOf(err)); code != "" {
		if _, rest, ok := bytes.Cut([]byte(text), []byte(code+": ")); ok {
			return string(rest)
		}
	}
	return text
}

// judge reads events as the pipelines will.
type judge struct {
	decoder stream.Decoder
	batch   *stream.Batch
	host    int
	service int
}

func newJudge() (*judge, error) {
	def, err := schemas.Builtin().ForTopic(metricTopic)
	if err != nil {
		return nil, fmt.Errorf("find event type of %s: %w", metricTopic, err)
	}
	d, err := schemas.NewDecoder("json", def, def.Names())
	if err != nil {
		return nil, fmt.Errorf("make decoder of %s: %w", def, err)
	}
	j := &judge{decoder: d, batch: stream.NewBatch(d.Schema())}
	j.host, j.service = d.Schema().Index(hostColumn), d.Schema().Index(serviceColumn)
	return j, nil
}

// record is the record of an event. Its key is what producers use: the host, else the service, so that a topic that is
// keyed by host stays so.
func (j *judge) record(e json.RawMessage, now stream.Time) (LogRecord, error) {
	var value bytes.Buffer
	if err := json.Compact(&value, e); err != nil {
		return LogRecord{}, fmt.Errorf("read event: %w", err)
	}
	j.batch.Reset()
	if err := j.decoder.Decode(&stream.Message{Value: value.Bytes(), Timestamp: now}, j.batch); err != nil {
		return LogRecord{}, err
	}
	j.batch.Settle()
	rec := LogRecord{Topic: metricTopic, Value: value.Bytes()}
	for _, i := range []int{j.host, j.service} {
		if c := &j.batch.Cols[i]; rec.Key == nil && !c.IsNull(0) {
			rec.Key = bytes.Clone(c.Dict.Bytes(c.IDs[0]))
		}
	}
	return rec, nil
}
