package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// KafkaRow is the kind of sink in letters about rows that were parked here.
const KafkaRow = "kafka"

// ParkWith lets a sink park the rows that brokers refuse for good, before the first Write: too large for the topic, no key where
// it is compacted, a timestamp that it does not take. A topic that is not there, or may not be written to, is no fault of a
// row, and an error as ever.
func (s *Sink) ParkWith(output string, park stream.Park) {
	if park == nil {
		return
	}
	s.w.park = func(ctx context.Context, r *kgo.Record, why error) error {
		return park(ctx, parkedRow(output, r, why))
	}
}

// refusesRecord says that brokers refuse something that they were sent, and not the sender or the topic.
func refusesRecord(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) ||
		errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp)
}

// parkedRow is the letter about a row.
func parkedRow(output string, r *kgo.Record, why error) *stream.Rejected {
	row := &stream.ParkedRow{Sink: KafkaRow, Output: output, Target: r.Topic}
	offset, index := int64(0), noIndex
	for _, h := range r.Headers {
		switch v := string(h.Value); h.Key {
		case HeaderPhase:
			row.Phase = phaseOf(v)
		case HeaderOffset:
			offset = number(v, 64, 0)
		case HeaderStep:
			row.At.Step = uint32(number(v, 64, 0))
		case HeaderIndex:
			index = v
		}
	}
	row.At.Offset = offset
	row.Name = fmt.Sprintf("%s/%d/%d/%s", row.Phase, offset, row.At.Step, index)
	reason := "refused by the topic: " + kafkaCode(why)
	if errors.Is(why, kerr.MessageTooLarge) {
		reason += ": raise max.message.bytes of " + r.Topic + " above " + strconv.Itoa(len(r.Key)+len(r.Value)+overhead)
	}
	return &stream.Rejected{Kind: stream.LetterParked, Offset: offset, Reason: reason, Detail: why.Error(), Key: r.Key, Raw: r.Value, Row: row}
}

// RowRecord is the record of a parked row, as it was refused: under the same name, so that readers drop a repeat.
func RowRecord(d *DeadRecord) (*Record, error) {
	parts := strings.Split(d.Row.Name, "/") // phase, offset, step, index
	if d.Row.Sink != KafkaRow || len(parts) != 4 {
		return nil, fmt.Errorf("read letter %s: %q names no row of a Kafka output", d.Rejections[0].ID, d.Row.Name)
	}
	h := []kgo.RecordHeader{{Key: HeaderTask, Value: []byte(d.Row.Task)}}
	for i, key := range []string{HeaderPhase, HeaderOffset, HeaderStep, HeaderIndex} {
		if key != HeaderIndex || parts[i] != noIndex {
			h = append(h, kgo.RecordHeader{Key: key, Value: []byte(parts[i])})
		}
	}
	return &Record{Topic: d.Row.Target, Partition: -1, Key: d.Key, Value: d.Raw, Headers: h}, nil
}

// noIndex stands for the index in names of live rows, which have none.
const noIndex = "live"

// kafkaCode is the name of an error in the protocol.
func kafkaCode(err error) string {
	if code := (*kerr.Error)(nil); errors.As(err, &code) {
		return code.Message
	}
	return err.Error()
}

func phaseOf(name string) stream.Phase {
	for p := range stream.Partial {
		if p.String() == name {
			return p
		}
	}
	return stream.Event
}

// single sends records one at a time. Brokers take or refuse whole batches, so of a batch that was refused nobody knows which
// records are meant: each is sent again by itself, and parked if it is refused again. It has a producer of its own, since
// the other one puts what comes together into one batch.
type single struct {
	options []kgo.Opt
	wg      sync.WaitGroup
	mu      struct {
		sync.Mutex
		client *kgo.Client // nil until something was refused
		queue  []*sending  // they still count as unacknowledged, so it is bounded
		busy   bool
		closed bool
	}
}

// take takes a record that was refused in a batch; false if the producer is closed. It does not block.
func (s *single) take(r *sending) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return false
	}
	s.mu.queue = append(s.mu.queue, r)
	if !s.mu.busy {
		s.mu.busy = true
		s.wg.Go(s.work)
	}
	return true
}

// work sends what is queued, and ends when nothing is left.
func (s *single) work() {
	for {
		r, client, err := s.next()
		if r == nil {
			return
		}
		if err == nil {
			err = s.send(client, r)
		}
		r.land(&r.record, err)
	}
}

func (s *single) next() (*sending, *kgo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.queue) == 0 {
		s.mu.busy = false
		return nil, nil, nil
	}
	r := s.mu.queue[0]
	s.mu.queue = s.mu.queue[1:]
	if s.mu.closed {
		return r, nil, kgo.ErrClientClosed
	}
	if s.mu.client == nil {
		client, err := kgo.NewClient(append(slices.Clip(s.options), kgo.RecordPartitioner(partitioner{kgo.StickyKeyPartitioner(nil)}),
			kgo.ProducerLinger(0), kgo.WithCompressor(kafkaclient.LZ4()), kgo.MetadataMinAge(metadataAge))...)
		if err != nil {
			return r, nil, fmt.Errorf("configure kafka producer: %w", err)
		}
		s.mu.client = client
	}
	return r, s.mu.client, nil
}

// send returns nil when the brokers or the dead letters have the record.
func (s *single) send(client *kgo.Client, r *sending) error {
	old := &r.record
	record := &kgo.Record{Topic: old.Topic, Partition: old.Partition, Key: old.Key, Value: old.Value, Headers: old.Headers}
	err := client.ProduceSync(client.Context(), record).FirstErr()
	if err == nil || !refusesRecord(err) {
		return err
	}
	return r.w.park(client.Context(), record, err)
}

// close gives up what is queued.
func (s *single) close() {
	s.mu.Lock()
	s.mu.closed = true
	client := s.mu.client
	s.mu.Unlock()
	if client != nil {
		client.Close()
	}
	s.wg.Wait()
}
