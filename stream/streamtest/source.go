package streamtest

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
)

// Source is a fake source of a life that is assigned all partitions of its topics; the portions of a read change at
// random. It is what engine.Runner needs.
type Source struct {
	// Most records are read at once; 7 if it is 0. Set before the first call.
	Most int64

	l       *Life
	topics  map[string]int32 // partitions
	release chan struct{}
	mu      sync.Mutex
	rng     *rand.Rand
}

// Source returns the life's source; topics gives the number of partitions. rng decides about portions.
func (l *Life) Source(topics map[string]int32, rng *rand.Rand) *Source {
	return &Source{l: l, topics: topics, rng: rng, release: make(chan struct{})}
}

// Lose makes Assign report the partitions as lost.
func (s *Source) Lose() { close(s.release) }

// Assign implements stream.Source.
func (s *Source) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	var all []stream.Partition
	for _, t := range slices.Sorted(maps.Keys(s.topics)) {
		for n := range s.topics[t] {
			all = append(all, stream.Partition{Topic: t, Number: n})
		}
	}
	if err := change(all, nil); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.release:
	}
	if err := change(nil, all); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// rows is the size of the next portion.
func (s *Source) rows() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1 + s.rng.Int64N(cmp.Or(s.Most, 7))
}

// LogStart is 0.
func (s *Source) LogStart(context.Context, stream.Partition) (first int64, err error) {
	err = s.l.call("log start", func() error { return nil })
	return 0, err
}

// LogEnd is the number of records of the log.
func (s *Source) LogEnd(_ context.Context, p stream.Partition) (end int64, err error) {
	err = s.l.call("log end", func() error {
		s.l.W.mu.Lock()
		defer s.l.W.mu.Unlock()
		end = int64(len(s.l.W.mu.logs[LogID{p.Topic, p.Number}]))
		return nil
	})
	return end, err
}

// Partitions is the number that the source was made with.
func (s *Source) Partitions(_ context.Context, topic string) (int32, error) {
	return s.topics[topic], nil
}

// Open implements stream.Source.
func (s *Source) Open(_ context.Context, p stream.Partition, offset int64, d stream.Decoder) (stream.Reader, error) {
	r := &reader{s: s, log: LogID{p.Topic, p.Number}, next: offset, decoder: d, batch: stream.NewBatch(d.Schema())}
	return r, s.l.call("open", func() error { return nil })
}

// Silence lets no broker answer any more, or lets them answer again.
func (w *World) Silence(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.silent = on
}

type reader struct {
	s       *Source
	log     LogID
	next    int64
	decoder stream.Decoder
	batch   *stream.Batch
}

// Read implements stream.Reader.
func (r *reader) Read(ctx context.Context) (in *stream.Input, err error) {
	err = r.s.l.call("read", func() error {
		in, err = r.read()
		return err
	})
	if err == nil && in.Next == in.From {
		select {
		case <-clock.System{}.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return in, err
}

func (r *reader) read() (*stream.Input, error) {
	w, rows := r.s.l.W, r.s.rows()
	w.mu.Lock()
	log, silent := w.mu.logs[r.log], w.mu.silent // what is there stays as it is
	w.mu.Unlock()
	end := int64(len(log))
	r.batch.Reset()
	if silent {
		return &stream.Input{Batch: r.batch, From: r.next, Next: r.next, End: -1}, nil
	}
	in := &stream.Input{Batch: r.batch, From: r.next, Next: min(r.next+rows, end), End: end}
	for i := in.From; i < in.Next; i++ {
		m := log[i]
		if err := r.decoder.Decode(&m, r.batch); err != nil {
			if stream.KindOfError(err) != stream.Reject {
				return nil, err
			}
			in.Rejected = append(in.Rejected, stream.Rejected{Offset: m.Offset, Reason: err.Error(), Raw: slices.Clone(m.Value)})
		}
	}
	r.batch.Settle()
	r.next = in.Next
	return in, nil
}

// Close implements stream.Reader.
func (r *reader) Close() error { return nil }

// Writer is a fake producer into a topic of the world, with what engine.LogWriter asks for. Like a real one it repeats
// what fails, and a lost reply means that the record is there twice.
type Writer struct {
	l     *Life
	topic string
}

// Writer returns the life's producer into a topic.
func (l *Life) Writer(topic string) *Writer { return &Writer{l, topic} }

// Append adds a record.
func (w *Writer) Append(_ context.Context, partition int32, value []byte) error {
	for {
		err := w.l.call("append", func() error {
			w.l.W.Append(LogID{w.topic, partition}, stream.Message{Value: slices.Clone(value)})
			return nil
		})
		if err == nil || stream.KindOfError(err) != stream.Retry {
			return err
		}
	}
}

// Flush has nothing to wait for.
func (w *Writer) Flush(context.Context) error { return nil }

// Close does nothing.
func (w *Writer) Close() error { return nil }
