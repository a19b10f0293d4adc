package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

const (
	// callBytes bounds the blocks of one call: Redis does nothing else while it runs.
	callBytes    = 512 << 10
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// metaLife is how long what describes an output stays after its last epoch, beside keep.
	metaLife = 30 * 24 * time.Hour
)

// sender is the goroutine of a sink that talks to Redis.
type sender struct {
	s       *Sink
	cancel  context.CancelFunc
	closing chan struct{}
	once    sync.Once
	ended   chan struct{}

	// Of the goroutine:
	blocks     []*block
	call       call
	mark       stream.Time // to be reported
	reported   time.Time   // when that was done last
	write      script
	through    script
	described  bool // in Redis, once
	registered bool
	asked      time.Time // to be registered, last
	cuts       int       // in a row: Redis has closed the connection at one large block

	mu struct {
		sync.Mutex
		err   error
		since time.Time
	}
}

func newSender(s *Sink) *sender {
	write := newScript(luaWrite)
	return &sender{
		s: s, closing: make(chan struct{}), ended: make(chan struct{}),
		write: write, through: newScript(luaThrough), call: newCall(s, write.sha), mark: stream.NoTime,
	}
}

func (d *sender) start() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go d.run(ctx)
}

// stop lets the goroutine finish for so long, and returns when it has ended. It may be called twice.
func (d *sender) stop(patience time.Duration) {
	d.once.Do(func() { close(d.closing) })
	select {
	case <-d.ended:
	case <-d.s.client.clock.After(patience):
	}
	d.cancel()
	<-d.ended
}

// run sends what there is, until it is cancelled, or is closing and has nothing left.
func (d *sender) run(ctx context.Context) {
	defer close(d.ended)
	for ctx.Err() == nil {
		busy, err := d.step(ctx)
		d.note(err)
		if err != nil {
			d.pause(ctx)
			continue
		}
		if busy {
			continue
		}
		select {
		case <-d.s.queue.wake:
		case <-d.later():
		case <-ctx.Done():
		case <-d.closing:
			// Whoever closes has stopped writing, so what is not there now will not come. Where the output could not be described yet,
			// its rows are there and nobody finds them.
			if blocks, _ := d.s.queue.load(); blocks == 0 && !d.s.progress.waits() && d.mark == stream.NoTime && d.described {
				return
			}
		}
	}
}

// register makes the writer known. One of a raised generation asks again until everything is there.
func (d *sender) register(ctx context.Context) error {
	d.asked = d.s.client.clock.Now()
	if err := d.report(ctx, stream.NoTime, true); err != nil {
		return err
	}
	d.described = true
	who, err := d.s.tasksValue(ctx)
	d.registered = who != ""
	return err
}

// registerEvery is the distance of two attempts to make the writer known.
const registerEvery = time.Second

// rest is how long something that is done so often has to wait; whoever closes waits for nothing.
func (d *sender) rest(every time.Duration, last time.Time) time.Duration {
	select {
	case <-d.closing:
		return 0
	default:
		return every - d.s.client.clock.Now().Sub(last)
	}
}

// later fires when something that waits may be done.
func (d *sender) later() <-chan time.Time {
	switch {
	case d.mark != stream.NoTime:
		return d.s.client.clock.After(d.rest(d.s.client.every, d.reported))
	case !d.registered:
		return d.s.client.clock.After(d.rest(registerEvery, d.asked))
	}
	return nil
}

// step does one thing; what fails is done again by the next step.
func (d *sender) step(ctx context.Context) (busy bool, err error) {
	if !d.registered && d.rest(registerEvery, d.asked) <= 0 {
		if err := d.register(ctx); err != nil {
			return false, err
		}
	}
	if len(d.blocks) == 0 {
		d.blocks = d.s.queue.take(d.blocks, callBytes)
	}
	if len(d.blocks) > 0 {
		if err := d.send(ctx); err != nil {
			return false, err
		}
		d.s.queue.done(d.blocks)
		d.blocks = d.blocks[:0]
		busy = true
	}
	acknowledged := d.s.queue.acknowledged()
	if newer, ok := d.s.progress.due(acknowledged); ok {
		d.mark = max(d.mark, newer)
	}
	if d.mark == stream.NoTime || d.s.client.every > 0 && d.rest(d.s.client.every, d.reported) > 0 {
		return busy, nil
	}
	if err := d.report(ctx, d.mark, false); err != nil {
		return false, err
	}
	d.mark, d.reported = stream.NoTime, d.s.client.clock.Now()
	return true, nil
}

// send stores the blocks. What Redis refuses for good is parked, which the other blocks of a call need not suffer from.
func (d *sender) send(ctx context.Context) error {
	err := d.store(ctx, d.blocks)
	if err == nil || d.s.config.Park == nil || !mayRefuse(err, d.blocks) {
		return err
	}
	for i := range d.blocks {
		one := d.blocks[i : i+1]
		err := d.store(ctx, one)
		if err != nil && d.refuses(ctx, one[0], err) {
			err = d.park(ctx, one[0], err)
		}
		if err != nil {
			return err
		}
		d.cuts = 0
	}
	return nil
}

// store stores blocks with one call. The connection's own timeouts bound it: a context with a deadline for each call costs
// more than the call.
func (d *sender) store(ctx context.Context, blocks []*block) error {
	args := d.call.arguments(blocks)
	err := d.s.client.rdb.Process(ctx, goredis.NewCmd(ctx, args...))
	if err != nil && goredis.HasErrorPrefix(err, "NOSCRIPT") {
		args[0], args[1] = "eval", d.write.source
		err = d.s.client.rdb.Process(ctx, goredis.NewCmd(ctx, args...))
	}
	if err != nil {
		return failure("write "+d.s.config.Output.Name+" to redis", err)
	}
	return nil
}

// report writes complete_through, and what describes the output, if that is asked for or Redis does not know it because it
// was emptied. It may be called from any goroutine.
func (d *sender) report(ctx context.Context, through stream.Time, describe bool) error {
	ctx, cancel := context.WithTimeout(ctx, d.s.client.timeout)
	defer cancel()
	s, text, life := d.s, "", int64(0)
	if through >= 0 {
		text = strconv.FormatInt(int64(through), 10)
	}
	if keep := s.config.Output.Keep; keep > 0 {
		life = int64((keep + metaLife) / time.Second)
	}
	keys := []string{tasksKey(s.place), throughKey(s.place), changesKey(s.place)}
	who, err := s.tasksValue(ctx)
	if err != nil {
		return err
	}
	values := []any{partitionField(s.config.Task.Partition), who, s.writer, text, life, "", writer(s.config.Task.Partition, 0), s.config.Generation}
	if s.config.Ended {
		values[5] = "ended"
	}
	unknown, err := goredis.NewScript(d.through.source).Run(ctx, s.client.rdb, keys, values...).Int()
	if err != nil {
		return failure("write complete_through to redis", err)
	}
	if !describe && unknown == 0 {
		return nil
	}
	described, err := json.Marshal(&s.config.Output)
	if err != nil {
		return fmt.Errorf("describe output: %w", err)
	}
	o := &s.config.Output
	args := []any{o.Pipeline + "/" + o.Name, described, o.Instance}
	if err := goredis.NewScript(luaDescribe).Run(ctx, s.client.rdb, []string{s.client.outputsKey()}, args...).Err(); err != nil {
		return failure("describe output in redis", err)
	}
	return nil
}

// note keeps the state for Status.
func (d *sender) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil && d.mu.err == nil {
		d.mu.since = d.s.client.clock.Now()
	}
	if err == nil {
		d.mu.since = time.Time{}
	}
	d.mu.err = err
}

func (d *sender) state() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Status{Err: d.mu.err, Since: d.mu.since}
}

// pause waits before the next attempt, longer the longer Redis has been away.
func (d *sender) pause(ctx context.Context) {
	clock := d.s.client.clock
	away := clock.Now().Sub(d.state().Since)
	select {
	case <-clock.After(min(max(firstBackoff, away), lastBackoff)):
	case <-ctx.Done():
	}
}
