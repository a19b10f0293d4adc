package kafka

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/stream"
)

// lane fetches from one broker, one request at a time, for all feeds there that want more. A broker has two of them:
// requests of one wait at the end of the log; those of the other, for what is known to be there, never queue up behind
// them.
type lane struct {
	broker  *kgo.Broker
	life    context.Context //nolint:containedctx // of the client: for no other context does it wait without allocating
	waits   bool
	clock   stream.Clock
	maximum int32 // bytes of an answer
	limits  func() (portion, keep int64)
	park    func(f *feed, reason error) // takes a feed whose fetch has failed

	wake chan struct{}
	mu   struct {
		sync.Mutex
		queue []*feed
	}

	// Used by run only:
	flight  []*feed // of the present request; nil once answered
	spare   []*feed
	sent    time.Time
	message *kmsg.FetchRequest // the client is done with it when it has answered
}

const (
	// waitAtEnd is how long a broker keeps a request that finds nothing. A feed that comes to the end meanwhile waits as
	// long until it is asked for.
	waitAtEnd = 100 * time.Millisecond
	// pace is the least distance of requests at the end of the log. It gives records time to come in numbers: a request
	// costs as much as decoding a hundred of them.
	pace = 5 * time.Millisecond
)

// enqueue adds a feed, which is busy until the answer.
func (l *lane) enqueue(f *feed) {
	l.mu.Lock()
	l.mu.queue = append(l.mu.queue, f)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run fetches until ctx is done.
func (l *lane) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		if rest := pace - l.clock.Now().Sub(l.sent); l.waits && rest > 0 {
			select {
			case <-ctx.Done():
				return
			case <-l.clock.After(rest):
			}
		}
		l.board()
		if len(l.flight) > 0 {
			l.fetch(ctx)
		}
	}
}

// board takes the queue into the next request: one feed of each partition, since a request names a partition once.
func (l *lane) board() {
	l.mu.Lock()
	queue := l.mu.queue
	l.mu.queue = l.spare[:0]
	l.mu.Unlock()
	l.flight = l.flight[:0]
	var left []*feed
	for _, f := range queue {
		switch {
		case f.p.abandoned(f):
		case l.aboard(f.p):
			left = append(left, f)
		default:
			l.flight = append(l.flight, f)
		}
	}
	clear(queue)
	l.spare = queue
	for _, f := range left {
		l.enqueue(f)
	}
}

func (l *lane) aboard(p *partition) bool {
	for _, f := range l.flight {
		if f.p == p {
			return true
		}
	}
	return false
}

func (l *lane) fetch(ctx context.Context) {
	l.sent = l.clock.Now()
	resp, err := l.broker.Request(l.life, l.request())
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = kerr.ErrorForCode(resp.(*kmsg.FetchResponse).ErrorCode)
	}
	if err != nil {
		for _, f := range l.flight {
			l.park(f, err)
		}
		return
	}
	l.unpack(resp.(*kmsg.FetchResponse))
	for _, f := range l.flight {
		if f != nil {
			l.park(f, errUnanswered)
		}
	}
}

var errUnanswered = fmt.Errorf("the broker's answer leaves the partition out")

// request fills the message, whose memory it keeps.
func (l *lane) request() *kmsg.FetchRequest {
	portion, _ := l.limits()
	if l.message == nil {
		l.message = kmsg.NewPtrFetchRequest()
	}
	req := l.message
	req.Topics = req.Topics[:0]
	req.MaxBytes, req.MinBytes, req.IsolationLevel, req.SessionEpoch = l.maximum, 1, 1, -1
	if l.waits {
		req.MaxWaitMillis = int32(waitAtEnd.Milliseconds())
	}
	for _, f := range l.flight {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = f.p.id.Number, f.fetching.next, int32(portion)
		rp.LastFetchedEpoch = f.fetching.epoch
		rt := topicOf(req, f.p)
		rt.Partitions = append(rt.Partitions, rp)
	}
	return req
}

func topicOf(req *kmsg.FetchRequest, p *partition) *kmsg.FetchRequestTopic {
	for i := range req.Topics {
		if req.Topics[i].TopicID == p.topicID && req.Topics[i].Topic == p.id.Topic {
			return &req.Topics[i]
		}
	}
	n := len(req.Topics)
	if n == cap(req.Topics) {
		req.Topics = append(req.Topics, kmsg.NewFetchRequestTopic())
	}
	req.Topics = req.Topics[:n+1]
	rt := &req.Topics[n]
	rt.Topic, rt.TopicID, rt.Partitions = p.id.Topic, p.topicID, rt.Partitions[:0]
	return rt
}

func (l *lane) unpack(resp *kmsg.FetchResponse) {
	size := 0
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			size += len(resp.Topics[i].Partitions[j].RecordBatches)
		}
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		for j := range rt.Partitions {
			if f := l.answered(rt, rt.Partitions[j].Partition); f != nil {
				l.receive(f, &rt.Partitions[j], size)
			}
		}
	}
}

// answered takes the feed that the answer is for out of the flight.
func (l *lane) answered(rt *kmsg.FetchResponseTopic, number int32) *feed {
	for i, f := range l.flight {
		if f == nil || f.p.id.Number != number {
			continue
		}
		if f.p.topicID == rt.TopicID || rt.Topic == f.p.id.Topic { // brokers before Kafka 3.1 answer with names
			l.flight[i] = nil
			return f
		}
	}
	return nil
}

// receive takes the answer for a feed out of a response with size bytes of records.
func (l *lane) receive(f *feed, rp *kmsg.FetchResponseTopicPartition, size int) {
	if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
		l.park(f, err)
		return
	}
	if rp.DivergingEpoch.EndOffset >= 0 {
		f.p.fail(f, explainDiverged(f, rp.DivergingEpoch.EndOffset))
		return
	}
	data := rp.RecordBatches
	if 4*len(data) < size {
		data = bytes.Clone(data) // a small part must not keep the whole
	}
	c, err := newChunk(f.fetching.next, data, rp.AbortedTransactions)
	if err != nil {
		l.park(f, err)
		return
	}
	f.p.heard.Store(max(f.p.heard.Load(), l.sent.UnixNano()))
	f.p.deliver(f, c, rp.LastStableOffset)
}
