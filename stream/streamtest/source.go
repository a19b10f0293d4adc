package streamtest

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Source is a fake source of a life with one partition, number 0 of the topic, whose portions change at random. It is
// what engine.Runner needs.
type Source struct {
	l       *Life
	topic   string
	rows    func() int // rows of the next portion
	release chan struct{}
}

// Source returns the life's source. rng decides about portions.
func (l *Life) Source(topic string, rng *rand.Rand) *Source {
	return &Source{l: l, topic: topic, rows: func() int { return 1 + rng.IntN(7) }, release: make(chan struct{})}
}

// Lose makes Assign report the partition as lost.
func (s *Source) Lose() { close(s.release) }

// Assign implements stream.Source.
func (s *Source) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	p := []stream.Partition{{Topic: s.topic}}
	if err := change(p, nil); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.release:
	}
	if err := change(nil, p); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// LogStart is 0.
func (s *Source) LogStart(context.Context, stream.Partition) (first int64, err error) {
	err = s.l.call("log start", func() error { return nil })
	return 0, err
}

// Partitions is 1.
func (s *Source) Partitions(context.Context, string) (int32, error) { return 1, nil }

// Open implements stream.Source.
func (s *Source) Open(_ context.Context, _ stream.Partition, offset int64, d stream.Decoder) (stream.Reader, error) {
	r := &reader{s: s, next: offset, decoder: d, batch: stream.NewBatch(d.Schema())}
	return r, s.l.call("open", func() error { return nil })
}

type reader struct {
	s       *Source
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
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return in, err
}

func (r *reader) read() (*stream.Input, error) {
	w := r.s.l.W
	w.mu.Lock()
	defer w.mu.Unlock()
	end := int64(len(w.mu.log))
	r.batch.Reset()
	in := &stream.Input{Batch: r.batch, From: r.next, Next: min(r.next+int64(r.s.rows()), end), End: end}
	for i := in.From; i < in.Next; i++ {
		m := w.mu.log[i]
		if err := r.decoder.Decode(&m, r.batch); err != nil {
			if stream.KindOfError(err) != stream.Reject {
				return nil, err
			}
			in.Rejected = append(in.Rejected, stream.Rejected{Offset: m.Offset, Reason: err.Error(), Raw: m.Value})
		}
	}
	r.next = in.Next
	return in, nil
}

// Close implements stream.Reader.
func (r *reader) Close() error { return nil }
