package devstack

import (
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// redisClient connects to the stack's Redis.
func redisClient(t *testing.T, s *Stack) *goredis.Client {
	t.Helper()
	opts, err := goredis.ParseURL(s.RedisURL())
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(opts)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestRedisForgetsInTime(t *testing.T) {
	t.Parallel()
	c := config(t)
	hand := newManual()
	c.Clock = hand
	s := start(t, c)
	r := redisClient(t, s)
	for key, ttl := range map[string]time.Duration{"short": 90 * time.Second, "long": time.Hour, "for ever": 0} {
		if err := r.Set(t.Context(), key, "x", ttl).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.HSet(t.Context(), "window", "block", "x").Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.PExpireAt(t.Context(), "window", time.Now().Add(90*time.Second)).Err(); err != nil {
		t.Fatal(err)
	}
	hand.move(-time.Hour) // the wall clock is set back: nothing comes to life or dies
	hand.move(time.Hour)
	hand.move(time.Minute)
	eventually(t, "the keys have grown older", func() bool {
		left := r.TTL(t.Context(), "long").Val()
		return left <= 59*time.Minute
	})
	if n := r.Exists(t.Context(), "short", "long", "for ever", "window").Val(); n != 4 {
		t.Errorf("%d of 4 keys are left after a minute", n)
	}
	eventually(t, "the short ones are gone", func() bool {
		hand.move(time.Minute)
		return r.Exists(t.Context(), "short", "window").Val() == 0
	})
	if n := r.Exists(t.Context(), "for ever").Val(); n != 1 {
		t.Error("a key without an expiry is gone")
	}
}

func TestRedisScriptsAndNotices(t *testing.T) {
	t.Parallel()
	s := start(t, config(t))
	r := redisClient(t, s)
	notices := r.Subscribe(t.Context(), "changes")
	t.Cleanup(func() {
		if err := notices.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := notices.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	script := goredis.NewScript(`redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) redis.call('PEXPIREAT', KEYS[1], ARGV[3])
		redis.call('PUBLISH', 'changes', '1') return redis.call('INCR', KEYS[2])`)
	expiry := time.Now().Add(time.Hour).UnixMilli()
	for i := range int64(2) { // the first with the source, the second by its hash
		n, err := script.Run(t.Context(), r, []string{"window", "change"}, "field", "\x00\xffbytes", expiry).Int64()
		if err != nil || n != i+1 {
			t.Fatalf("change %d, %v", n, err)
		}
		select {
		case m := <-notices.Channel():
			if m.Payload != "1" {
				t.Errorf("notice %q", m.Payload)
			}
		case <-time.After(soon):
			t.Fatal("no notice")
		}
	}
	if got := r.HGet(t.Context(), "window", "field").Val(); got != "\x00\xffbytes" {
		t.Errorf("read %q", got)
	}
	if left := r.PTTL(t.Context(), "window").Val(); left <= 0 || left > time.Hour {
		t.Errorf("it lives for %s", left)
	}
}
