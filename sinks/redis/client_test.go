package redis

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// expectUnfilled wants these of the parts a and b to be unfilled.
func expectUnfilled(t *testing.T, c *Client, want ...string) {
	t.Helper()
	got, err := c.Unfilled(context.Background(), []string{"a", "b"})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("unfilled: %v, want %v, %v", got, want, err)
	}
}

// TestEmptiedIsNotComplete: from the moment in which Redis loses its content until it is filled, readers are told that the
// output is complete through nothing, though its tasks go on writing and reporting.
func TestEmptiedIsNotComplete(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
			through := func(offset int64, mark, want stream.Time) {
				t.Helper()
				write(t, s, rowsOf(1, offset, map[string]int64{"host-1": offset}))
				flush(t, s, offset, mark)
				if _, err := s.Refresh(mark)(ctx); err != nil { // the mark has been reported
					t.Fatal(err)
				}
				if _, r := read(t, c, nil); r.CompleteThrough != want {
					t.Errorf("after offset %d complete through %v, want %v", offset, r.CompleteThrough, want)
				}
			}
			through(5, at(2), at(2))
			if err := c.rdb.FlushAll(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			through(6, at(3), stream.NoTime)
			f, err := c.BeginFill(ctx, []string{s.config.Part()})
			if err != nil {
				t.Fatal(err)
			}
			through(7, at(4), stream.NoTime)
			if err := f.End(ctx, []string{s.config.Part()}); err != nil {
				t.Fatal(err)
			}
			through(8, at(5), at(5))
		})
	}
}

func TestFill(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			if empty, err := c.Empty(ctx); err != nil || !empty {
				t.Fatalf("empty: %v, %v", empty, err)
			}
			expectUnfilled(t, c, "a", "b")
			begin := func(parts ...string) *Fill {
				t.Helper()
				f, err := c.BeginFill(ctx, parts)
				if err != nil {
					t.Fatal(err)
				}
				return f
			}
			first := begin("a", "b")
			expectUnfilled(t, c, "a", "b")
			if err := first.End(ctx, []string{"b"}); err != nil {
				t.Fatal(err)
			}
			expectUnfilled(t, c, "a")
			second := begin("a")
			if err := first.End(ctx, []string{"a"}); !errors.Is(err, ErrEmptied) || stream.KindOfError(err) != stream.Retry {
				t.Errorf("two fill the same part: %v", err)
			}
			expectUnfilled(t, c, "a")
			if err := second.End(ctx, []string{"a"}); err != nil {
				t.Fatal(err)
			}
			expectUnfilled(t, c)
			if empty, err := c.Empty(ctx); err != nil || empty {
				t.Errorf("empty: %v, %v", empty, err)
			}
			third := begin("a")
			if err := c.rdb.FlushAll(ctx).Err(); err != nil {
				t.Fatal(err)
			}
			if err := third.End(ctx, []string{"a"}); !errors.Is(err, ErrEmptied) {
				t.Errorf("emptied while it was filled: %v", err)
			}
			expectUnfilled(t, c, "a", "b")
		})
	}
}

// After Redis was emptied the next epoch describes the output anew, and what is written again is shown.
func TestEmptiedRedisFillsItself(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			s := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
			b := rowsOf(1, 5, map[string]int64{"host-1": 1})
			write(t, s, b)
			flush(t, s, 5, at(2))
			settled(t, c, at(2))
			if err := c.rdb.FlushAll(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
			write(t, s, b) // the refill: the same rows at the same version
			flush(t, s, 6, at(2))
			note(t, c, s.config)
			settled(t, c, at(2))
			if got, _ := read(t, c, nil); len(got) != 1 {
				t.Error(got)
			}
			if all, err := c.Outputs(context.Background()); err != nil || len(all) != 1 {
				t.Error(all, err)
			}
		})
	}
}

// Reports of complete_through keep their distance, and none is lost: the last one leaves when the sink is closed.
func TestReportsKeepTheirDistance(t *testing.T) {
	for name, c := range everywhere(t) {
		t.Run(name, func(t *testing.T) {
			c.every = time.Hour
			s := sink(t, c, 0, func(c *SinkConfig) { c.Partitions = 1 })
			write(t, s, rowsOf(1, 5, map[string]int64{"host-1": 1}))
			flush(t, s, 5, at(2))
			settled(t, c, at(2)) // the first one waits for nothing
			for i := range 3 {
				write(t, s, rowsOf(2, 6+int64(i), map[string]int64{"host-1": 1}))
				flush(t, s, 6+int64(i), at(3+i)) // acknowledges the rows, behind which the report would have left
			}
			if _, r := read(t, c, nil); r.CompleteThrough != at(2) {
				t.Errorf("complete through %v, reported before its time", r.CompleteThrough)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			settled(t, c, at(5))
		})
	}
}

func TestNotices(t *testing.T) {
	testservers.Redis(t) // skips where there is none
	server, err := testservers.StartRedis(context.Background(), testservers.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := connect(t, server.Address())
	ctx, cancel := context.WithCancelCause(context.Background())
	notices, stopped := make(chan Notice, 100), make(chan error)
	go func() { stopped <- c.Subscribe(ctx, hosts("host-cpu@1"), func(n Notice) { notices <- n }) }()
	expect := func(want Notice) {
		t.Helper()
		select {
		case got := <-notices:
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("no notice")
		}
	}
	expect(Notice{Gap: true})
	s := sink(t, c, 0)
	write(t, s, rowsOf(1, 1, map[string]int64{"host-1": 1, "host-2": 1}))
	flush(t, s, 1, at(1))
	expect(Notice{Change: 1, Windows: []stream.Time{at(1)}})
	write(t, s, rowsOf(1, 1, map[string]int64{"host-1": 1})) // nothing new
	write(t, s, rowsOf(2, 2, map[string]int64{"host-1": 1}))
	flush(t, s, 2, at(1))
	expect(Notice{Change: 2, Windows: []stream.Time{at(2)}})
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	expect(Notice{Gap: true}) // it is empty now
	write(t, s, rowsOf(3, 3, map[string]int64{"host-1": 1}))
	expect(Notice{Change: 1, Windows: []stream.Time{at(3)}})
	gone := errors.New("the page was closed")
	cancel(gone)
	if err := <-stopped; !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestMissedNoticesAreAGap(t *testing.T) {
	s := subscription{last: 4}
	for _, c := range []struct {
		payload string
		want    Notice
	}{
		{`{"change":5,"windows":[7,8]}`, Notice{Change: 5, Windows: []stream.Time{7, 8}}},
		{`{"change":7,"windows":[7]}`, Notice{Change: 7, Windows: []stream.Time{7}, Gap: true}},
		{`{"change":1,"windows":[7]}`, Notice{Change: 1, Windows: []stream.Time{7}, Gap: true}},
	} {
		n, err := s.notice(c.payload)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, *n); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := s.notice("x"); err == nil {
		t.Error("nonsense is a notice")
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for text, want := range map[string]stream.ErrorKind{
		"WRONGPASS invalid username-password pair": stream.Fatal, "NOAUTH Authentication required.": stream.Fatal,
		"WRONGTYPE Operation against a key": stream.Fatal, "OOM command not allowed": stream.Retry, "READONLY You can't write": stream.Retry,
		"LOADING Redis is loading": stream.Retry, "EOF": stream.Retry,
	} {
		if got := stream.KindOfError(failure("x", errors.New(text))); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	c := connect(t, "127.0.0.1:1")
	ctx, cancel := context.WithCancel(context.Background())
	_, empty := c.Empty(ctx)
	_, list := c.Outputs(ctx)
	_, one := c.Output(ctx, "a", "b")
	_, begin := c.BeginFill(ctx, []string{"a"})
	_, unfilled := c.Unfilled(ctx, []string{"a"})
	for _, err := range []error{c.Ping(ctx), begin, unfilled, empty, list, one} {
		if stream.KindOfError(err) != stream.Retry || !strings.Contains(err.Error(), "check that Redis runs there") {
			t.Error(err)
		}
	}
	cancel()
	if err := c.Ping(ctx); !errors.Is(err, context.Canceled) || stream.KindOfError(err) != stream.Retry {
		t.Error(err)
	}
}

func TestConfigMistakesAreAllNamed(t *testing.T) {
	err := Config{Prefix: "a b"}.Validate()
	for _, want := range []string{"redis.url", "redis.prefix", "redis.timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.URLFile = "x"
	if err := c.Validate(); err == nil {
		t.Error("two URLs are accepted")
	}
}

func TestBadURLIsNotRepeated(t *testing.T) {
	for _, url := range []string{"redis://ada:hunter2%zz@h/0", "redis://ada:hunter2@h:port/0", "http://ada:hunter2@h", "redis://ada:hunter2@h/hunter2"} {
		file := filepath.Join(t.TempDir(), "url")
		if err := os.WriteFile(file, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := Default()
		c.URL, c.URLFile = "", file
		if _, err := Open(c, soon); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
	c := Default()
	c.URL, c.URLFile = "", "/no/such/file"
	if _, err := Open(c, soon); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Open(Config{}, soon); err == nil {
		t.Error("an empty configuration is accepted")
	}
}

func TestRouter(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	router{log}.Printf(context.Background(), "dial %s", "x")
	if !strings.Contains(out.String(), "go-redis: dial x") {
		t.Error(out.String())
	}
}
