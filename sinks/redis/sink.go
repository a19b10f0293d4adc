package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// SinkConfig describes the sink of one task and one output.
type SinkConfig struct {
	Output     Output
	Task       stream.TaskID
	Partitions int32 // of the task's topic: complete_through is unknown until all have reported
	// Generation of the task. What was written under an earlier one is shown until everything of this one is there.
	Generation int64
	// Ended says that the task is of a version of the pipeline that may have ended: a writer of its own is known before this one.
	Ended bool
	// MaxPending is how many bytes may be unacknowledged before Write blocks; 0 means 4 MiB.
	MaxPending int
	// Park takes the blocks of closed windows that Redis refuses for good; nil: they are tried for ever. Name is that of the
	// sink in letters about them.
	Park stream.Park
	Name string
	// Patience is how long Close tries to send what is left; 0 means 2 s.
	Patience time.Duration
}

// Part is the name under which it is noted that Redis has everything of this task and output.
func (c *SinkConfig) Part() string {
	task := c.Task.String()
	if c.Generation > 0 {
		task += generationMark + strconv.FormatInt(c.Generation, 10)
	}
	return task + " " + c.Output.Name
}

// generationMark stands in the name of a part before its generation; names of topics and pipelines have none.
const generationMark = "#"

const (
	defaultPending  = 4 << 20
	defaultPatience = 2 * time.Second
)

// Sink writes the rollups of one task: a stream.Sink for Live, Closed and Revised rows. Rows leave at once, in the order of
// their slots, by a goroutine that belongs to the sink and tries until Redis has them or the sink is closed.
type Sink struct {
	client *Client
	config SinkConfig
	place  string // of the output's keys
	writer string // the task in field names
	fields [stream.Slots]any

	packer   packer
	schema   *stream.Schema // of the last batch, which was checked
	queue    *queue
	progress progress
	sender   *sender
}

var (
	_ stream.Sink        = (*Sink)(nil)
	_ stream.ErasingSink = (*Sink)(nil)
)

// NewSink returns the sink and starts its goroutine, which ends with Close. Redis may be away.
func (c *Client) NewSink(config SinkConfig) (*Sink, error) {
	if err := config.Output.Validate(); err != nil {
		return nil, err
	}
	if config.Partitions <= config.Task.Partition.Number {
		return nil, fmt.Errorf("check sink of %s: its topic has %d partitions", config.Task, config.Partitions)
	}
	if config.MaxPending == 0 {
		config.MaxPending = defaultPending
	}
	if config.Patience == 0 {
		config.Patience = defaultPatience
	}
	s := &Sink{
		client: c, config: config, place: c.place(&config.Output), queue: newQueue(config.MaxPending),
		writer: writer(config.Task.Partition, config.Generation),
	}
	for slot := range s.fields {
		s.fields[slot] = slotField(s.writer, slot)
	}
	s.sender = newSender(s)
	s.sender.start()
	return s, nil
}

// Write implements stream.Sink. It blocks while too much is unacknowledged. A window whose time to live has passed is
// dropped: Redis would delete it at once.
func (s *Sink) Write(ctx context.Context, b *stream.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	if err := s.check(b); err != nil {
		return stream.Mark(stream.Fatal, fmt.Errorf("write %s to redis: %w", s.config.Output.Name, err))
	}
	if s.expired(b.Window) {
		return nil
	}
	for lo := 0; lo < b.Len(); {
		hi := slotEnd(b, lo)
		put := block{at: place{b.Window.Start, b.Slot[lo]}, window: b.Window, final: b.Phase != stream.Live, bytes: s.packer.pack(b, lo, hi)}
		if err := s.queue.put(ctx, put); err != nil {
			return fmt.Errorf("write %s to redis: %w", s.config.Output.Name, errors.Join(err, s.sender.state().Err))
		}
		lo = hi
	}
	signal(s.queue.wake)
	return nil
}

func (s *Sink) check(b *stream.Batch) error {
	switch {
	case b.Phase != stream.Live && b.Phase != stream.Closed && b.Phase != stream.Revised:
		return fmt.Errorf("rows are %v: only live, closed and revised rows of a window can be shown", b.Phase)
	case len(b.Slot) != b.Len():
		return errors.New("rows have no slots")
	case b.Version.Offset < 0:
		return fmt.Errorf("version %v is negative", b.Version)
	case b.Schema == s.schema:
		return nil
	}
	columns := ColumnsOf(b.Schema)
	if len(columns) != len(s.config.Output.Columns) {
		return fmt.Errorf("rows have %d columns, the output has %d", len(columns), len(s.config.Output.Columns))
	}
	for i, c := range s.config.Output.Columns {
		if columns[i] != c {
			return fmt.Errorf("column %d is %s %s, in the output %s %s", i, columns[i].Name, columns[i].Kind, c.Name, c.Kind)
		}
	}
	s.schema = b.Schema
	return nil
}

// clockSkew is how far the clock of Redis may be behind ours before we drop a window that it would still keep.
const clockSkew = time.Minute

func (s *Sink) expired(w stream.Window) bool {
	keep := s.config.Output.Keep
	return keep > 0 && w.End.Add(keep+clockSkew) < stream.TimeOf(s.client.clock.Now())
}

// slotEnd is the row behind the last of the slot that begins at lo.
func slotEnd(b *stream.Batch, lo int) int {
	hi := lo + 1
	for hi < b.Len() && b.Slot[hi] == b.Slot[lo] {
		hi++
	}
	return hi
}

// Erase implements stream.ErasingSink.
func (s *Sink) Erase(ctx context.Context, w stream.Window, at stream.Version, slots []uint8) error {
	if s.expired(w) {
		return nil
	}
	for _, slot := range slots {
		tombstone := append(appendVersion(make([]byte, 0, versionSize+1), at), formRows|formTombstone)
		if err := s.queue.put(ctx, block{at: place{w.Start, slot}, window: w, bytes: tombstone}); err != nil {
			return fmt.Errorf("write %s to redis: %w", s.config.Output.Name, errors.Join(err, s.sender.state().Err))
		}
	}
	signal(s.queue.wake)
	return nil
}

// Stage implements stream.Sink. With a snapshot the work waits until Redis has everything that was written before. The
// receipt carries the mark.
func (s *Sink) Stage(e stream.Epoch) stream.Work {
	number := s.queue.newest()
	s.progress.stage(e.At, number)
	signal(s.queue.wake)
	if e.Mark < 0 && !e.Snapshot { // nothing to tell: no event yet
		return nil
	}
	return func(ctx context.Context) (stream.Receipt, error) {
		if e.Snapshot {
			if err := s.await(ctx, number); err != nil {
				return nil, err
			}
		}
		if e.Mark < 0 {
			return nil, nil
		}
		return receipt{At: e.At, Mark: e.Mark}.encode()
	}
}

// await blocks until everything up to the block with that number is acknowledged.
func (s *Sink) await(ctx context.Context, number uint64) error {
	for {
		acknowledged, changed := s.queue.watch()
		if acknowledged >= number {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			err := fmt.Errorf("wait for redis to take %s: %w", s.config.Output.Name, errors.Join(context.Cause(ctx), s.sender.state().Err))
			return stream.Mark(stream.Retry, err)
		}
	}
}

// Reveal implements stream.Sink: it lets complete_through follow, which never goes back. It does not wait for Redis, so
// that an absent one holds no epoch up.
func (s *Sink) Reveal(_ context.Context, raw stream.Receipt) error {
	r, err := decodeReceipt(raw)
	if err != nil {
		return stream.Mark(stream.Fatal, err)
	}
	s.progress.reveal(r)
	signal(s.queue.wake)
	return nil
}

// Close tries for a moment to send what is left, and ends the goroutine. What Redis has not got by then comes again from
// the next owner of the task.
func (s *Sink) Close() error {
	s.sender.stop(s.config.Patience)
	return nil
}

// Status is how the sink stands with Redis.
type Status struct {
	Blocks int       // waiting to be sent
	Bytes  int       // unacknowledged
	Err    error     // of the last attempt; nil if Redis took it
	Since  time.Time // of the first failure in a row
}

// Status may be called from any goroutine.
func (s *Sink) Status() Status {
	st := s.sender.state()
	st.Blocks, st.Bytes = s.queue.load()
	return st
}

// Trouble implements stream.TroubledSink.
func (s *Sink) Trouble() error {
	if err := s.sender.state().Err; err != nil {
		return fmt.Errorf("write %s to redis: %w", s.config.Output.Name, err)
	}
	return nil
}

// tasksValue is what the hash of tasks says about this task; "" while readers are to see what an earlier generation has written.
func (s *Sink) tasksValue(ctx context.Context) (string, error) {
	if s.config.Generation > 0 {
		missing, err := s.client.Unfilled(ctx, []string{s.config.Part()})
		if err != nil || len(missing) > 0 {
			return "", err
		}
	}
	return s.writer + " " + strconv.Itoa(int(s.config.Partitions)), nil
}
