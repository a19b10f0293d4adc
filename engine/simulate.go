package engine

import (
	"context"
	"fmt"
	"io"

	"github.com/tidewatch/tidewatch/stream"
)

// SimRecord is a record of a simulated log, or an idle tick at its end.
type SimRecord struct {
	Topic     string
	Partition int32
	Message   stream.Message // its Offset is given by its place in the log
	Tick      stream.Time    // not 0: no record, but progress by idleness after all records
}

// SimRows is a batch that a step has emitted.
type SimRows struct {
	Step  string
	Batch *stream.Batch
}

// SimResult is what a plan has made of a simulated log.
type SimResult struct {
	Decisions []stream.Decision
	// Rows are Closed, Revised, Final and Late rows, and events that a step passed on; at the end what closed windows that
	// are not final yet have got since, as Live rows.
	Rows     []SimRows
	Rejected []stream.Rejected
	Ledger   stream.Ledger

	live []SimRows
}

// Simulate runs a plan over records in memory, in virtual time: the progress of the log is the only clock. The plan's
// sinks are not opened.
func Simulate(ctx context.Context, p *Plan, in []SimRecord) (*SimResult, error) {
	res := &SimResult{}
	r := &Local{
		Clock:   nil,
		Collect: res.collect,
		Decide: func(d stream.Decision) error {
			res.Decisions = append(res.Decisions, d)
			return nil
		},
		Reject: func(d stream.Rejected) error {
			d.Raw, d.Key = append([]byte(nil), d.Raw...), append([]byte(nil), d.Key...)
			res.Rejected = append(res.Rejected, d)
			return nil
		},
	}
	logs, until, err := simulatedLogs(p, in)
	if err != nil {
		return nil, err
	}
	r.Until = until
	var inputs []LocalInput
	for _, l := range logs {
		inputs = append(inputs, LocalInput{
			Partition: l.partition, Partitions: int32(len(logs)),
			Open: func(_ context.Context, d stream.Decoder) (stream.Reader, error) {
				return &memoryReader{log: l.messages, decoder: d, batch: stream.NewBatch(d.Schema())}, nil
			},
		})
	}
	done, err := r.Run(ctx, p, inputs)
	if err != nil {
		return nil, err
	}
	res.Ledger = done.Ledger
	for _, l := range res.live {
		if l.Batch.Window.End <= done.CompleteThrough {
			res.Rows = append(res.Rows, l)
		}
	}
	return res, nil
}

// collect keeps a copy of the rows. Live rows leave at the end of the run only.
func (s *SimResult) collect(step string, b *stream.Batch) error {
	c := stream.NewBatch(b.Schema)
	c.Phase, c.Window, c.Version, c.Provisional, c.Revision = b.Phase, b.Window, b.Version, b.Provisional, b.Revision
	for i := range b.Len() {
		c.AppendRow(b, i)
	}
	if b.Phase == stream.Live {
		s.live = append(s.live, SimRows{step, c})
		return nil
	}
	s.Rows = append(s.Rows, SimRows{step, c})
	return nil
}

type simulatedLog struct {
	partition stream.Partition
	messages  []stream.Message
}

// simulatedLogs sorts the records by partition, in the order of their first sight.
func simulatedLogs(p *Plan, in []SimRecord) (logs []*simulatedLog, until stream.Time, err error) {
	known := map[stream.Partition]*simulatedLog{}
	for _, r := range in {
		if r.Tick != 0 {
			until = max(until, r.Tick)
			continue
		}
		if !contains(p.Stages[0].Topics, r.Topic) {
			return nil, 0, fmt.Errorf("simulate %s: it does not read topic %s", p.Pipeline, r.Topic)
		}
		at := stream.Partition{Topic: r.Topic, Number: r.Partition}
		l := known[at]
		if l == nil {
			l = &simulatedLog{partition: at}
			known[at], logs = l, append(logs, l)
		}
		m := r.Message
		m.Offset = int64(len(l.messages))
		l.messages = append(l.messages, m)
	}
	return logs, until, nil
}

// memoryReader reads messages in memory.
type memoryReader struct {
	log     []stream.Message
	next    int
	decoder stream.Decoder
	batch   *stream.Batch
}

// memoryRows is how many records one Read of a memoryReader takes.
const memoryRows = 256

// Read implements stream.Reader.
func (m *memoryReader) Read(context.Context) (*stream.Input, error) {
	if m.next == len(m.log) {
		return nil, io.EOF
	}
	m.batch.Reset()
	in := &stream.Input{Batch: m.batch, From: int64(m.next), End: int64(len(m.log))}
	for range min(memoryRows, len(m.log)-m.next) {
		msg := &m.log[m.next]
		m.next++
		err := m.decoder.Decode(msg, m.batch)
		if err == nil {
			continue
		}
		if stream.KindOfError(err) != stream.Reject {
			return nil, err
		}
		in.Rejected = append(in.Rejected, stream.Rejected{Offset: msg.Offset, Timestamp: msg.Timestamp, Reason: err.Error(), Key: msg.Key, Raw: msg.Value})
	}
	m.batch.Settle()
	in.Next = int64(m.next)
	return in, nil
}

// Close implements stream.Reader.
func (m *memoryReader) Close() error { return nil }
