//go:build faults

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/sinks/console"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/sinks/redis"
	"github.com/tidewatch/tidewatch/sources/kafka"
	"github.com/tidewatch/tidewatch/stream"
)

// The wrappers embed the type that they wrap, so that its optional abilities stay.

// disturbed puts the points around everything that the engine calls.
func disturbed(c engine.Config) engine.Config {
	c.Store = faultyClaims{c.Store.(*postgres.ClaimStore)}
	c.Source = faultySource{c.Source.(*kafka.Source)}
	dead, internal := c.NewDeadLetters, c.NewInternal
	c.NewDeadLetters = func(t engine.TaskContext) (engine.DeadLetters, error) {
		d, err := dead(t)
		return faultyLetters{d}, err
	}
	c.NewInternal = func(t engine.TaskContext) (engine.LogWriter, error) {
		w, err := internal(t)
		return faultyLog{w}, err
	}
	return c
}

// disturbedGroup shortens the session, so that a run need not wait long until a silent worker has lost its partitions, and
// looks for new partitions more often.
func disturbedGroup(c kafka.Config) kafka.Config {
	if d, err := time.ParseDuration(os.Getenv("TIDEWATCH_FAULTS_SESSION")); err == nil {
		c.SessionTimeout = d
	}
	c.RefreshEvery = time.Second
	return c
}

type faultyClaims struct{ *postgres.ClaimStore }

func (f faultyClaims) TakeOver(ctx context.Context, task stream.TaskID, owner string) (*stream.Checkpoint, error) {
	return giving("takeover", func() (*stream.Checkpoint, error) { return f.ClaimStore.TakeOver(ctx, task, owner) })
}

// Claim is a point of its own where one of the claims holds a control record.
func (f faultyClaims) Claim(ctx context.Context, claims []*stream.Checkpoint) ([]bool, error) {
	claim := func() ([]bool, error) {
		return giving("claim", func() ([]bool, error) { return f.ClaimStore.Claim(ctx, claims) })
	}
	for _, c := range claims {
		var r stream.Record
		if json.Unmarshal(c.Record, &r) == nil && r.Control != nil {
			return giving("control", claim)
		}
	}
	return claim()
}

func (f faultyClaims) Current(ctx context.Context, tasks []stream.TaskID) ([]stream.Row, error) {
	return giving("current", func() ([]stream.Row, error) { return f.ClaimStore.Current(ctx, tasks) })
}

type faultySource struct{ *kafka.Source }

func (f faultySource) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	return f.Source.Assign(ctx, func(gained, lost []stream.Partition) error {
		name := "gain"
		if len(lost) > 0 {
			name = "drain"
		}
		return around(name, func() error { return change(gained, lost) })
	})
}

func (f faultySource) Open(ctx context.Context, p stream.Partition, offset int64, d stream.Decoder) (stream.Reader, error) {
	r, err := giving("open", func() (stream.Reader, error) { return f.Source.Open(ctx, p, offset, d) })
	if err != nil {
		return nil, err
	}
	return &faultyReader{Reader: r, name: "replay"}, nil
}

// faultyReader calls its first portion replay: after a take-over it belongs to what is claimed already, mostly.
type faultyReader struct {
	stream.Reader
	name string
}

func (f *faultyReader) Read(ctx context.Context) (*stream.Input, error) {
	in, err := giving(f.name, func() (*stream.Input, error) { return f.Reader.Read(ctx) })
	if err == nil && in.Next > in.From {
		f.name = "read"
	}
	return in, err
}

func (f *faultyReader) Close() error {
	return around("close", f.Reader.Close)
}

type faultyLetters struct{ engine.DeadLetters }

func (f faultyLetters) Write(ctx context.Context, dead []stream.Rejected) error {
	return around("deadletter.write", func() error { return f.DeadLetters.Write(ctx, dead) })
}

func (f faultyLetters) Flush(ctx context.Context) error {
	return around("deadletter.flush", func() error { return f.DeadLetters.Flush(ctx) })
}

type faultyLog struct{ engine.LogWriter }

// Append tells marks, which leave in the reveal, from partials.
func (f faultyLog) Append(ctx context.Context, partition int32, value []byte) error {
	name := "partials"
	if len(value) > 0 && value[0] == 'M' {
		name = "marks"
	}
	return around(name, func() error { return f.LogWriter.Append(ctx, partition, value) })
}

func (f faultyLog) Flush(ctx context.Context) error {
	return around("flush", func() error { return f.LogWriter.Flush(ctx) })
}

type faultyObjects struct{ stream.Objects }

func disturbedObjects(o stream.Objects) stream.Objects { return faultyObjects{o} }

func (f faultyObjects) Put(ctx context.Context, key string, data []byte) error {
	name := "put.staged"
	switch {
	case strings.HasSuffix(key, "/snapshot"):
		name = "put.snapshot"
	case strings.HasPrefix(key, "state/") && strings.Contains(key, "/controls/"):
		name = "put.control"
	}
	return around(name, func() error { return f.Objects.Put(ctx, key, data) })
}

func (f faultyObjects) Copy(ctx context.Context, from, to string) error {
	return around("copy", func() error { return f.Objects.Copy(ctx, from, to) })
}

func (f faultyObjects) Get(ctx context.Context, key string) ([]byte, error) {
	return giving("get", func() ([]byte, error) { return f.Objects.Get(ctx, key) })
}

func (f faultyObjects) List(ctx context.Context, prefix string, visit func(stream.Object) error) error {
	return around("list", func() error { return f.Objects.List(ctx, prefix, visit) })
}

func (f faultyObjects) Delete(ctx context.Context, key string) error {
	return around("delete", func() error { return f.Objects.Delete(ctx, key) })
}

// disturbedSink has the points capture.NAME, write.NAME, stage.NAME and reveal.NAME.
func disturbedSink(kind string, s stream.Sink, err error) (stream.Sink, error) {
	if err != nil {
		return nil, err
	}
	switch s := s.(type) {
	case *redis.Sink:
		return faultyRedis{s}, nil
	case *parquet.Raw:
		return faultyRaw{s}, nil
	case *parquet.Rollups:
		return faultyRollups{s}, nil
	case *sinkkafka.Sink:
		return faultyTopic{s}, nil
	case *sinkkafka.TransactionSink:
		return faultyTransactions{s}, nil
	case *console.Sink:
		return s, nil
	}
	return nil, fmt.Errorf("the fault layer does not know the sink %s", kind)
}

type faultyRedis struct{ *redis.Sink }

func (f faultyRedis) Write(ctx context.Context, b *stream.Batch) error {
	return around("write.redis", func() error { return f.Sink.Write(ctx, b) })
}

func (f faultyRedis) Stage(e stream.Epoch) stream.Work {
	_ = planted().reach("capture.redis")
	return faultyWork("stage.redis", f.Sink.Stage(e))
}

func (f faultyRedis) Reveal(ctx context.Context, r stream.Receipt) error {
	return around("reveal.redis", func() error { return f.Sink.Reveal(ctx, r) })
}

type faultyRaw struct{ *parquet.Raw }

func (f faultyRaw) Write(ctx context.Context, b *stream.Batch) error {
	return around("write.raw", func() error { return f.Raw.Write(ctx, b) })
}

func (f faultyRaw) Stage(e stream.Epoch) stream.Work {
	_ = planted().reach("capture.raw")
	return faultyWork("stage.raw", f.Raw.Stage(e))
}

func (f faultyRaw) Reveal(ctx context.Context, r stream.Receipt) error {
	return around("reveal.raw", func() error { return f.Raw.Reveal(ctx, r) })
}

type faultyRollups struct{ *parquet.Rollups }

func (f faultyRollups) Write(ctx context.Context, b *stream.Batch) error {
	return around("write.rollups", func() error { return f.Rollups.Write(ctx, b) })
}

func (f faultyRollups) Stage(e stream.Epoch) stream.Work {
	_ = planted().reach("capture.rollups")
	return faultyWork("stage.rollups", f.Rollups.Stage(e))
}

func (f faultyRollups) Reveal(ctx context.Context, r stream.Receipt) error {
	return around("reveal.rollups", func() error { return f.Rollups.Reveal(ctx, r) })
}

type faultyTopic struct{ *sinkkafka.Sink }

func (f faultyTopic) Write(ctx context.Context, b *stream.Batch) error {
	return around("write.topic", func() error { return f.Sink.Write(ctx, b) })
}

func (f faultyTopic) Stage(e stream.Epoch) stream.Work {
	_ = planted().reach("capture.topic")
	return faultyWork("stage.topic", f.Sink.Stage(e))
}

func (f faultyTopic) Reveal(ctx context.Context, r stream.Receipt) error {
	return around("reveal.topic", func() error { return f.Sink.Reveal(ctx, r) })
}

type faultyTransactions struct{ *sinkkafka.TransactionSink }

func (f faultyTransactions) Write(ctx context.Context, b *stream.Batch) error {
	return around("write.transaction", func() error { return f.TransactionSink.Write(ctx, b) })
}

func (f faultyTransactions) Stage(e stream.Epoch) stream.Work {
	_ = planted().reach("capture.transaction")
	return faultyWork("stage.transaction", f.TransactionSink.Stage(e))
}

func (f faultyTransactions) Reveal(ctx context.Context, r stream.Receipt) error {
	return around("reveal.transaction", func() error { return f.TransactionSink.Reveal(ctx, r) })
}
