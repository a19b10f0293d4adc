package kafka

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/stream"
)

// Source reads the topics of a cluster for one worker. It implements stream.Source; all methods may be called from any
// goroutine, Assign once.
type Source struct {
	cfg      Config
	client   *kgo.Client // questions, and fetches that wait at the end of the log
	bulk     *kgo.Client // fetches of what is known to be there: another client, because each has one connection to fetch with
	topology topology
	inflater *inflater
	display  display
	parking  parking
	patience int          // see the constant
	reading  atomic.Int64 // partitions that have readers

	// The fetching goroutines belong to the Source, so it holds what ends them.
	ctx    context.Context //nolint:containedctx // of the goroutines, from New to Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	more chan struct{} // mu.topics has grown
	mu   struct {
		sync.Mutex
		topics     []string // that Assign assigns; it only grows
		partitions map[stream.Partition]*partition
		lanes      map[laneKey]*lane
	}
}

type laneKey struct {
	broker int32
	waits  bool
}

// New connects to nothing yet: clusters may be away when a worker starts. Close ends what it starts.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure kafka source: %w", err)
	}
	opts, err := cfg.Client.Options(cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("configure kafka source: %w", err)
	}
	opts = append(opts, kgo.RetryTimeout(retryTimeout), kgo.RetryBackoffFn(backoff), kgo.BrokerMaxReadBytes(1<<30))
	s := &Source{cfg: cfg, inflater: newInflater(maxBlockBytes), parking: newParking(), patience: patience}
	if s.client, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("configure kafka source: %w", err)
	}
	if s.bulk, err = kgo.NewClient(opts...); err != nil {
		s.client.Close()
		return nil, fmt.Errorf("configure kafka source: %w", err)
	}
	s.topology.client = s.client
	s.more, s.mu.topics = make(chan struct{}, 1), slices.Compact(slices.Sorted(slices.Values(cfg.Topics)))
	s.mu.partitions, s.mu.lanes = map[stream.Partition]*partition{}, map[laneKey]*lane{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.spawn(s.tend)
	return s, nil
}

// Subscribe lets Assign assign the partitions of more topics. They may not exist yet.
func (s *Source) Subscribe(topics ...string) {
	s.mu.Lock()
	for _, t := range topics {
		if !slices.Contains(s.mu.topics, t) {
			s.mu.topics = append(s.mu.topics, t)
		}
	}
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// topicsFrom are the topics to assign without the first n.
func (s *Source) topicsFrom(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.topics[n:])
}

// retryTimeout is how long a question is repeated to brokers that do not answer before the asker is told.
const retryTimeout = 10 * time.Second

// backoff is the pause before a question is repeated: short at first, since most leaders change within a second.
func backoff(tries int) time.Duration { return min(50*time.Millisecond<<min(tries, 5), time.Second) }

// Close ends all fetching; readers must have been closed before.
func (s *Source) Close() error {
	s.cancel()
	s.client.Close()
	s.bulk.Close()
	s.wg.Wait()
	s.inflater.zstd.Close()
	return nil
}

func (s *Source) spawn(run func(context.Context)) { s.wg.Go(func() { run(s.ctx) }) }

// Open implements stream.Source: it checks that the topic is the one that p means, and that its log holds the offset.
func (s *Source) Open(ctx context.Context, p stream.Partition, offset int64, d stream.Decoder) (stream.Reader, error) {
	part, err := s.find(ctx, p)
	if err != nil {
		return nil, err
	}
	start, end, err := s.offsets(ctx, p)
	if err != nil {
		return nil, err
	}
	if offset < start || offset > end {
		return nil, explainRange(p, offset, start, end)
	}
	r := newReader(part, offset, d, s.cfg.Clock)
	part.attach(r)
	return r, nil
}

// find asks the cluster about the topic, and returns what is kept of the partition.
func (s *Source) find(ctx context.Context, p stream.Partition) (*partition, error) {
	t, err := s.settled(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := checkTopic(p, t); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	part, ok := s.mu.partitions[p]
	if !ok {
		part = &partition{id: p, topicID: t.id, limits: s.limits, dispatch: s.dispatch, reading: &s.reading}
		part.hot.inflater, part.hot.keep = s.inflater, hotBytes
		part.end.Store(-1)
		s.mu.partitions[p] = part
	}
	return part, nil
}

// settled asks about the topic until the answer can be believed.
func (s *Source) settled(ctx context.Context, p stream.Partition) (*topic, error) {
	for tries := 1; ; tries++ {
		t, err := s.topology.refresh(ctx, p.Topic)
		if err != nil {
			return nil, err
		}
		if !unsettled(p, &t[0]) || tries >= s.patience {
			return &t[0], nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.cfg.Clock.After(parkedFor):
		}
	}
}

// limits divides the memory among the partitions that are being read: a portion is a quarter of a partition's share, so
// that one may be read while the next is there and a third on its way.
func (s *Source) limits() (portion, keep int64) {
	share := s.cfg.RingBytes / max(s.reading.Load(), 1)
	return min(max(share/4, minPortion), maxPortion), share / 2
}

const (
	minPortion = 64 << 10
	maxPortion = 2 << 20
)

// dispatch hands a busy feed to the lane that fetches it, or to the parking if no broker has the partition now. It is
// called under the partition's mutex.
func (s *Source) dispatch(f *feed) {
	broker := s.topology.leader(f.p)
	if broker < 0 {
		s.park(f, errNoLeader)
		return
	}
	end := f.p.end.Load()
	s.lane(laneKey{broker, f.fetching.atEnd || end >= 0 && f.fetching.next >= end}).enqueue(f)
}

func (s *Source) lane(k laneKey) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.mu.lanes[k]
	if !ok {
		client := s.bulk
		if k.waits {
			client = s.client
		}
		l = &lane{
			broker: client.Broker(int(k.broker)), life: client.Context(), waits: k.waits, clock: s.cfg.Clock, maximum: s.cfg.FetchMaxBytes,
			limits: s.limits, park: s.park, wake: make(chan struct{}, 1),
		}
		s.mu.lanes[k] = l
		s.spawn(l.run)
	}
	return l
}

// Stats calls f with what was fetched of each partition since the start, in the order of topic, number and incarnation.
// Records fetched twice, by a pipeline that had fallen behind, count twice; so do those of aborted transactions.
func (s *Source) Stats(f func(p stream.Partition, records, bytes int64)) {
	for _, p := range s.known() {
		f(p.id, p.records.Load(), p.bytes.Load())
	}
}

func (s *Source) known() []*partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*partition, 0, len(s.mu.partitions))
	for _, p := range s.mu.partitions {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *partition) int { return comparePartitions(a.id, b.id) })
	return all
}
