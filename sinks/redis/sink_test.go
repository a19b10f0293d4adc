package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

func TestWrittenRowsAreRead(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			a, b := sink(t, c, 0), sink(t, c, 1)
			write(t, a, rowsOf(3, 10, map[string]int64{"host-1": 1, "host-2": 2, "host-3": 3}))
			write(t, b, rowsOf(3, 7, map[string]int64{"host-4": 4}))
			write(t, a, rowsOf(4, 20, map[string]int64{"host-1": 11}))
			flush(t, a, 20, at(4))
			if _, r := read(t, c, nil); r.CompleteThrough != stream.NoTime {
				t.Errorf("complete through %v, though partition 1 has not reported", r.CompleteThrough)
			}
			flush(t, b, 7, at(3))
			settled(t, c, at(3))
			got, r := read(t, c, nil)
			want := map[string]int64{"3 host-1": 1, "3 host-2": 2, "3 host-3": 3, "3 host-4": 4, "4 host-1": 11}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
			if len(r.Series) != 4 || r.Series[0].Labels[0] != "host-1" || !cmp.Equal(r.Columns, []string{"max", "samples"}) {
				t.Fatalf("%+v", r)
			}
			one, _ := read(t, c, map[string]string{"host": "host-4"})
			if diff := cmp.Diff(map[string]int64{"3 host-4": 4}, one); diff != "" {
				t.Fatal(diff)
			}
			latest, err := c.Latest(context.Background(), Query{Output: hosts("host-cpu@1"), From: at(0), To: at(100), Columns: []string{"samples"}})
			if err != nil || len(latest.Series) != 4 || latest.Series[0].Start[0] != at(4) || latest.Series[0].Columns[0].Ints[0] != 11 {
				t.Fatalf("%+v %v", latest, err)
			}
		})
	}
}

// Owners of a task write the same windows at random versions, in any order and again and again, some of them long
// overtaken: what is left of each slot is its newest version. Values follow from versions, as they do in the engine.
func TestNewestVersionStays(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			histories := 0
			rapid.Check(t, func(rt *rapid.T) {
				histories++
				task := sourceTask(0)
				task.Partition.Incarnation = strconv.Itoa(histories)
				output := hosts("host-cpu@1")
				output.Name = fmt.Sprint("cpu", histories)
				owner := func() *Sink {
					s, err := c.NewSink(SinkConfig{Output: output, Task: task, Partitions: 1})
					if err != nil {
						rt.Fatal(err)
					}
					return s
				}
				owners := []*Sink{owner(), owner(), owner()}
				newest := map[string]int64{}
				for range rapid.IntRange(1, 12).Draw(rt, "writes") {
					i, offset := rapid.IntRange(0, 2).Draw(rt, "window"), rapid.Int64Range(1, 300).Draw(rt, "offset")
					samples := map[string]int64{}
					for _, k := range rapid.SliceOfNDistinct(rapid.IntRange(0, 20), 1, 10, rapid.ID).Draw(rt, "hosts") {
						host := fmt.Sprintf("host-%d", k)
						samples[host] = offset
					}
					s := rapid.SampledFrom(owners).Draw(rt, "owner")
					b := alone(rowsOf(i, offset, samples))
					if err := s.Write(context.Background(), b); err != nil {
						rt.Fatal(err)
					}
					for k := range b.Len() {
						key := fmt.Sprint(i, " slot ", b.Slot[k])
						newest[key] = max(newest[key], offset)
					}
					if rapid.Bool().Draw(rt, "wait") {
						flush(t, s, offset, at(1))
					}
				}
				for _, s := range owners {
					flush(t, s, 1000, at(1))
					if err := s.Close(); err != nil {
						rt.Fatal(err)
					}
				}
				r, err := c.Read(context.Background(), Query{Output: output, From: at(0), To: at(3)})
				if err != nil {
					rt.Fatal(err)
				}
				got := map[string]int64{}
				for _, s := range r.Series {
					for k, start := range s.Start {
						got[fmt.Sprint(number(start), " slot ", slotOf([]condition{{kind: stream.String, text: s.Labels[0]}}))] = s.Columns[1].Ints[k]
					}
				}
				if diff := cmp.Diff(newest, got); diff != "" {
					rt.Fatal(diff)
				}
			})
		})
	}
}

// alone keeps one row of each slot: in these histories the rows of a slot differ from version to version.
func alone(b *stream.Batch) *stream.Batch {
	out := stream.NewBatch(b.Schema)
	out.Phase, out.Window, out.Version = b.Phase, b.Window, b.Version
	for i := range b.Len() {
		if i == 0 || b.Slot[i] != b.Slot[i-1] {
			out.AppendRow(b, i)
		}
	}
	return out
}

func TestOldIncarnationsAreNotShown(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			old := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
			write(t, old, rowsOf(1, 1000, map[string]int64{"host-1": 1, "host-2": 2}))
			flush(t, old, 1000, at(50))
			settled(t, c, at(50)) // its report has arrived: none comes after that of the fresh one
			fresh := sink(t, c, 0, func(c *SinkConfig) { c.Task.Partition.Incarnation, c.Partitions = "Zz9", 1 })
			write(t, fresh, rowsOf(1, 5, map[string]int64{"host-1": 7}))
			flush(t, fresh, 5, at(1))
			settled(t, c, at(1))
			for _, where := range []map[string]string{nil, {"host": "host-1"}} {
				got, _ := read(t, c, where)
				if diff := cmp.Diff(map[string]int64{"1 host-1": 7}, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestWindowsExpireAfterTheirEnd(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			c.clock = wall{time.Now()} // expiry is a matter of the server's clock
			base := stream.TimeOf(time.Now()).Floor(10 * time.Second)
			batch := func(start stream.Time) *stream.Batch {
				b := rowsOf(0, 1, map[string]int64{"host-1": 1})
				b.Window = stream.Window{Start: start, End: start.Add(10 * time.Second)}
				return b
			}
			s := sink(t, c, 0)
			forever := sink(t, c, 0, func(c *SinkConfig) { c.Output.Name, c.Output.Keep = "kept", 0 })
			for _, start := range []stream.Time{base, base.Add(-time.Hour - 20*time.Second), base.Add(-24 * time.Hour)} {
				write(t, s, batch(start))
				write(t, forever, batch(start))
			}
			flush(t, s, 1, base)
			flush(t, forever, 1, base)
			keys, err := c.rdb.Keys(ctx, "*:w:*").Result()
			if err != nil || len(keys) != 4 {
				t.Fatalf("%v %v: want one window with keep and three without", keys, err)
			}
			key := windowKey(s.place, base)
			left, err := c.rdb.PTTL(ctx, key).Result()
			if want := base.Add(10*time.Second + time.Hour).Go(); err != nil || (left-time.Until(want)).Abs() > 5*time.Second {
				t.Errorf("%s lives %v, want %v, %v", key, left, want, err)
			}
			if left, err := c.rdb.TTL(ctx, windowKey(forever.place, base)).Result(); err != nil || left != -1 {
				t.Errorf("a window without keep lives %v, %v", left, err)
			}
		})
	}
}

func TestUnsuitableRowsAreFatal(t *testing.T) {
	c := connect(t, "127.0.0.1:1")
	s := sink(t, c, 0, func(c *SinkConfig) { c.Patience = time.Nanosecond })
	good := func() *stream.Batch { return rowsOf(1, 1, map[string]int64{"host-1": 1}) }
	for want, spoil := range map[string]func(b *stream.Batch) *stream.Batch{
		"rows are event":       func(b *stream.Batch) *stream.Batch { b.Phase = stream.Event; return b },
		"no slots":             func(b *stream.Batch) *stream.Batch { b.Slot = nil; return b },
		"is negative":          func(b *stream.Batch) *stream.Batch { b.Version.Offset = -1; return b },
		"have 6 columns":       func(*stream.Batch) *stream.Batch { return hostBatch(0, 3, 1) },
		"column 0 is other st": func(b *stream.Batch) *stream.Batch { b.Schema = renamed(b.Schema); return b },
	} {
		err := s.Write(context.Background(), spoil(good()))
		if err == nil || !strings.Contains(err.Error(), want) || stream.KindOfError(err) != stream.Fatal {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := s.Write(context.Background(), stream.NewBatch(hostSchema)); err != nil {
		t.Error(err)
	}
}

func renamed(s *stream.Schema) *stream.Schema {
	fields := append([]stream.Field{{Name: "other", Kind: s.Fields[0].Kind}}, s.Fields[1:]...)
	return &stream.Schema{Fields: fields}
}

// While Redis is away a sink takes what fits, then holds the task up, says why, and catches up by itself.
func TestRedisAway(t *testing.T) {
	testservers.Redis(t) // skips where there is none
	ctx := context.Background()
	server, err := testservers.StartRedis(ctx, testservers.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := connect(t, server.Address())
	s := sink(t, c, 0, func(c *SinkConfig) { c.MaxPending, c.Partitions = 300, 1 })
	write(t, s, rowsOf(0, 1, map[string]int64{"host-1": 1}))
	flush(t, s, 1, at(0))
	settled(t, c, at(0))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	written := 0
	for ; ; written++ { // each is about 40 bytes
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		err := s.Write(short, rowsOf(written, 5, map[string]int64{"host-1": int64(written)}))
		cancel()
		if err != nil {
			if written < 3 || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%d windows: %v", written, err)
			}
			break
		}
		want[fmt.Sprint(written, " host-1")] = int64(written)
	}
	for s.Status().Err == nil { // the attempt may be under way
	}
	if st := s.Status(); st.Bytes > 300 || st.Bytes == 0 || st.Since.IsZero() || !strings.Contains(st.Err.Error(), "check that Redis runs there") {
		t.Errorf("%+v", st)
	}
	work := s.Stage(stream.Epoch{At: stream.Version{Offset: 5}, Mark: at(9), Snapshot: true})
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := work(short); stream.KindOfError(err) != stream.Retry || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a snapshot without Redis: %v", err)
	}
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	flush(t, s, 6, at(9))
	if _, r := read(t, c, nil); r.CompleteThrough != stream.NoTime {
		t.Errorf("it has come back empty, and is complete through %v", r.CompleteThrough)
	}
	note(t, c, s.config) // what is not there is not missing here
	settled(t, c, at(9))
	got, _ := read(t, c, nil)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if st := s.Status(); st.Err != nil || st.Bytes != 0 || st.Blocks != 0 {
		t.Errorf("%+v", st)
	}
}

func TestCloseWithoutRedis(t *testing.T) {
	s := sink(t, connect(t, "127.0.0.1:1"), 0, func(c *SinkConfig) { c.Patience = 10 * time.Millisecond })
	write(t, s, rowsOf(1, 1, map[string]int64{"host-1": 1}))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCompleteThroughNeverGoesBack(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			s := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
			for i, mark := range []stream.Time{5, 30, 100, 99, 1_000_000_000_000_000_000, 999_999_999_999_999_999, 1_000_000_000_000_000_001} {
				flush(t, s, int64(i), mark)
				settled(t, c, max(mark, []stream.Time{5, 30, 100, 100, 1e18, 1e18, 1e18 + 1}[i]))
			}
		})
	}
}

func TestNothingToStageBeforeTheFirstEvent(t *testing.T) {
	s := sink(t, connect(t, "127.0.0.1:1"), 0, func(c *SinkConfig) { c.Patience = time.Nanosecond })
	if s.Stage(stream.Epoch{Mark: stream.NoTime}) != nil {
		t.Error("there is work")
	}
	if receipt, err := s.Stage(stream.Epoch{Mark: stream.NoTime, Snapshot: true})(context.Background()); receipt != nil || err != nil {
		t.Error(receipt, err)
	}
	if err := s.Reveal(context.Background(), stream.Receipt(`[]`)); stream.KindOfError(err) != stream.Fatal || err == nil {
		t.Error(err)
	}
}

func TestBadSinkConfig(t *testing.T) {
	c := connect(t, "127.0.0.1:1")
	for want, spoil := range map[string]func(*SinkConfig){
		"has 1 partitions": func(c *SinkConfig) { c.Partitions = 1 },
		"must have names":  func(c *SinkConfig) { c.Output.Name = "" },
		"unknown kind":     func(c *SinkConfig) { c.Output.Columns[0].Kind = "text" },
		"group columns":    func(c *SinkConfig) { c.Output.Groups = 9 },
		"must be positive": func(c *SinkConfig) { c.Output.Every = 0 },
		"braces":           func(c *SinkConfig) { c.Output.Instance = "{" },
	} {
		config := SinkConfig{Output: hosts("i"), Task: sourceTask(1), Partitions: 2}
		spoil(&config)
		if s, err := c.NewSink(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v, want %q", s, err, want)
		}
	}
}
