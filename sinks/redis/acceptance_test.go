package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// process is what a process of a test has between it and Redis: the faults of its life. It implements goredis.Hook.
type process struct{ l *streamtest.Life }

func (p process) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (p process) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := p.l.Call("redis", func() error { return next(ctx, cmd) })
		cmd.SetErr(err)
		return err
	}
}

func (p process) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		return p.l.Call("redis", func() error { return next(ctx, cmds) })
	}
}

// patience is how long a sink may take to close.
const patience = time.Minute

// mortal is a clock on which a dead process does not wait, and a living one not long before it tries again.
type mortal struct {
	wall
	l *streamtest.Life
}

func (m mortal) After(d time.Duration) <-chan time.Time {
	if d != patience {
		return m.wall.After(min(d, 5*time.Millisecond))
	}
	select {
	case <-m.l.Dead():
		return m.wall.After(0)
	default:
		return m.wall.After(d)
	}
}

func TestSinkAcceptance(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			instances := 0
			streamtest.RunSink(t, streamtest.SinkHarness{
				Histories: 10,
				New: func(testing.TB) streamtest.SinkReceiver {
					instances++
					return acceptanceReceiver(c, fmt.Sprintf("suite@%d", instances))
				},
				History: func(t testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
					return streamtest.SinkSteps(streamtest.WindowSteps(t, rng, size, stream.Live, stream.Closed, stream.Revised))
				},
			})
		})
	}
}

func acceptanceReceiver(c *Client, instance string) streamtest.SinkReceiver {
	out := Output{
		Pipeline: "suite", Name: instance[len("suite@"):], Instance: instance, Groups: 1, Window: streamtest.WindowSize, Every: streamtest.WindowSize,
		Columns: ColumnsOf(streamtest.WindowSchema()),
	}
	config := SinkConfig{Output: out, Task: sourceTask(0), Partitions: 1, Patience: patience}
	config.Task.Instance = instance
	return streamtest.SinkReceiver{
		Open: func(t testing.TB, l *streamtest.Life) stream.Sink {
			own := connect(t, c.rdb.Options().Addr)
			own.rdb.AddHook(process{l})
			own.clock = mortal{soon, l}
			note(t, c, config)
			s, err := own.NewSink(config)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Visible: func(t testing.TB) map[string]string {
			q := Query{Output: out, From: streamtest.WindowStart.Add(-time.Hour), To: streamtest.WindowStart.Add(time.Hour)}
			r, err := c.Read(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			all, err := c.Outputs(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			seen := shownBy(r)
			seen["described"] = strconv.FormatBool(slices.ContainsFunc(all, func(o Output) bool { return o.Instance == instance }))
			return seen
		},
		Lose: func(t testing.TB) {
			if err := c.rdb.FlushAll(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
			note(t, c, config) // as the refiller does at the end
		},
	}
}

// shownBy is an answer as text, with how far it is complete.
func shownBy(r *Result) map[string]string {
	seen := map[string]string{"complete through": r.CompleteThrough.String()}
	for _, s := range r.Series {
		for i, start := range s.Start {
			key := fmt.Sprint(start, s.Labels, s.Null)
			for k := range s.Columns {
				seen[key] += fmt.Sprint(" ", s.Columns[k].Value(i))
			}
		}
	}
	return seen
}
