package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// Record is what a Writer appends.
type Record struct {
	Topic      string
	Partition  int32 // negative: by key, or any
	Key, Value []byte
	Headers    []kgo.RecordHeader
}

// Writer appends for one task. Append and Flush may be called from several goroutines, the task's and the committer's.
type Writer struct {
	c *Client

	// Guarded by the mutex of c:
	bytes int      // unacknowledged
	open  []flight // records that are unacknowledged, by what Flush waits for; the newest last, always one
	err   error    // first failure

	park func(ctx context.Context, r *kgo.Record, why error) error // takes what brokers refuse for good; nil: a failure
}

// flight counts the unacknowledged records between two calls of Flush.
type flight struct {
	number  uint64
	records int
}

// NewWriter returns a writer with nothing to flush.
func (c *Client) NewWriter() *Writer { return &Writer{c: c, open: []flight{{}}} }

// sending is a record on its way. It is used again, with its callback, so that appending allocates nothing.
type sending struct {
	record kgo.Record
	w      *Writer
	size   int
	flight uint64
	done   func(*kgo.Record, error)
}

// Append hands a record to the producer, which repeats it until the brokers have it. It blocks while too much is
// unacknowledged, of this writer or of all. The bytes of the record belong to the writer from now on. After a failure, which
// Flush reports too, every call returns it.
func (w *Writer) Append(ctx context.Context, r Record) error {
	size := len(r.Key) + len(r.Value) + overhead
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	var number uint64
	err := w.c.await(ctx, func() (bool, error) {
		if w.err != nil || !w.fits(size) {
			return false, w.err
		}
		last := &w.open[len(w.open)-1]
		last.records++
		number = last.number
		w.bytes += size
		w.c.mu.bytes += size
		return true, nil
	})
	if err != nil {
		return err
	}
	s := w.c.sent.Get().(*sending)
	s.w, s.size, s.flight = w, size, number
	s.record = kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}
	// Not the task's context: what was appended is sent, whatever becomes of the task.
	w.c.kgo.Produce(w.c.kgo.Context(), &s.record, s.done)
	return nil
}

// fits says whether size more bytes may be sent; the first record of a writer always may.
func (w *Writer) fits(size int) bool {
	return w.bytes == 0 || w.bytes+size <= writerBytes && w.c.mu.bytes+size <= clientBytes
}

// acknowledged is the producer's callback.
func (s *sending) acknowledged(r *kgo.Record, err error) {
	if err != nil && s.w.park != nil && refusesRecord(err) && s.w.c.single.take(s) {
		return
	}
	s.land(r, err)
}

// land ends the way of a record.
func (s *sending) land(r *kgo.Record, err error) {
	w, c := s.w, s.w.c
	if err != nil {
		err = explain(r, err)
	}
	c.mu.Lock()
	w.bytes -= s.size
	c.mu.bytes -= s.size
	w.land(s.flight)
	if err != nil && w.err == nil {
		w.err = err
	}
	if c.mu.waiters > 0 {
		c.mu.waiters = 0
		close(c.mu.changed)
		c.mu.changed = make(chan struct{})
	}
	c.mu.Unlock()
	s.w, s.record = nil, kgo.Record{}
	c.sent.Put(s)
}

// land takes a record out of its flight, and empty flights out of the list but for the newest.
func (w *Writer) land(number uint64) {
	for i := range w.open {
		if w.open[i].number == number {
			w.open[i].records--
		}
	}
	kept := w.open[:0]
	for i, f := range w.open {
		if f.records > 0 || i == len(w.open)-1 {
			kept = append(kept, f)
		}
	}
	w.open = kept
}

// Flush returns when everything appended before the call is acknowledged; what is appended meanwhile does not delay it.
// A failure stays: the task must start again from its row, since nobody knows which of its records are there.
func (w *Writer) Flush(ctx context.Context) error {
	w.c.mu.Lock()
	newest := w.open[len(w.open)-1]
	if newest.records > 0 {
		w.open = append(w.open, flight{number: newest.number + 1})
	}
	w.c.mu.Unlock()
	return w.c.await(ctx, func() (bool, error) {
		if w.err != nil {
			return false, w.err
		}
		for _, f := range w.open {
			if f.number <= newest.number && f.records > 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

// Close leaves what is unacknowledged to the producer.
func (w *Writer) Close() error { return nil }

// await calls ok, with the lock held, until it is true or fails, each time something was acknowledged.
func (c *Client) await(ctx context.Context, ok func() (bool, error)) error {
	for {
		c.mu.Lock()
		done, err := ok()
		changed := c.mu.changed
		if !done && err == nil {
			c.mu.waiters++
		}
		c.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// explain says what to do about a record that the producer has given up.
func explain(r *kgo.Record, err error) error {
	advice := ""
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		advice = "; the topic does not exist: create it"
	case errors.Is(err, kerr.MessageTooLarge):
		advice = fmt.Sprintf("; the record has %d bytes: raise max.message.bytes of the topic", len(r.Key)+len(r.Value))
	case kafkaclient.Denied(err):
		advice = "; let the brokers' access rules allow this user to write to the topic"
	}
	if kafkaclient.Final(err) {
		return stream.Mark(stream.Fatal, fmt.Errorf("write to topic %s: %w%s", r.Topic, err, advice))
	}
	return stream.Mark(stream.Retry, fmt.Errorf("write to topic %s: %w: %w%s", r.Topic, stream.ErrStartOver, err, advice))
}
