package devstack

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// keepsBrute says by definition what is left: the shortest run of newest files that no rule wants smaller.
func keepsBrute(r retention, segments []segment, now time.Time) []segment {
	for len(segments) > 1 {
		var without int64
		for _, s := range segments[1:] {
			without += s.size
		}
		tooOld := r.age >= 0 && !segments[0].written.Add(r.age).After(now)
		tooBig := r.bytes >= 0 && without >= r.bytes && !segments[0].written.Add(10*time.Minute).After(now)
		if !tooOld && !tooBig {
			break
		}
		segments = segments[1:]
	}
	return segments
}

func TestRetentionAgainstBruteForce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		r := retention{
			age:   rapid.SampledFrom([]time.Duration{-1, 0, time.Minute, time.Hour}).Draw(t, "age"),
			bytes: rapid.Int64Range(-1, 50).Draw(t, "bytes"),
		}
		var segments []segment
		at, base := now.Add(-2*time.Hour), int64(0)
		for range rapid.IntRange(0, 6).Draw(t, "files") {
			at = at.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "minutes")) * time.Minute)
			segments = append(segments, segment{base: base, size: rapid.Int64Range(0, 20).Draw(t, "size"), written: at})
			base += rapid.Int64Range(1, 10).Draw(t, "records")
		}
		left := keepsBrute(r, segments, now)
		var want int64
		if len(left) < len(segments) {
			want = left[0].base
		}
		if got := r.cut(segments, now); got != want {
			t.Fatalf("%+v of %+v: cut at %d, want %d", r, segments, got, want)
		}
	})
}

func TestRetentionOfATopic(t *testing.T) {
	t.Parallel()
	set := func(pairs ...string) map[string]*string {
		configs := map[string]*string{}
		for i := 0; i < len(pairs); i += 2 {
			configs[pairs[i]] = &pairs[i+1]
		}
		return configs
	}
	usual := retention{age: 7 * 24 * time.Hour, bytes: 5000}
	cases := []struct {
		configs map[string]*string
		want    retention
	}{
		{nil, usual},
		{set("retention.bytes", "-1"), retention{age: 7 * 24 * time.Hour, bytes: -1}},
		{set("retention.ms", "60000", "retention.bytes", "1000"), retention{age: time.Minute, bytes: 1000}},
		{set("retention.ms", "-1"), retention{age: -time.Millisecond, bytes: 5000}},
		{set("retention.ms", fmt.Sprint(math.MaxInt64)), retention{age: 9223372036854 * time.Millisecond, bytes: 5000}},
		{map[string]*string{"retention.ms": nil}, usual},
	}
	for _, c := range cases {
		if got := retentionOf(c.configs, usual); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
}

// fill writes about n files to partition 0 of a topic.
func fill(t *testing.T, s *Stack, topic string, files int) {
	t.Helper()
	k := client(t, s, kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := strings.Repeat("x", 512<<10)
	for range files*segmentBytes/len(value) + 1 {
		produce(t, k, topic, 0, value)
	}
}

// bounds are the first offset of partition 0 and the one after the last.
func bounds(t *testing.T, s *Stack, topic string) (first, end int64) {
	t.Helper()
	info := s.broker.cluster.PartitionInfo(topic, 0)
	if info == nil {
		t.Fatalf("no topic %s", topic)
	}
	return info.LogStartOffset, info.HighWatermark
}

func TestOldRecordsGo(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	c := config(t)
	hand := newManual()
	c.Clock = hand
	s := start(t, c)
	createTopic(t, s, "small", 1, map[string]string{"retention.bytes": fmt.Sprint(segmentBytes), "retention.ms": "-1"})
	createTopic(t, s, "short", 1, map[string]string{"retention.ms": fmt.Sprint(year.Milliseconds())})
	createTopic(t, s, "kept", 1, map[string]string{"retention.ms": "-1"})
	createTopic(t, s, "compacted", 1, map[string]string{"cleanup.policy": "compact", "retention.bytes": "1"})
	for _, topic := range []string{"small", "short", "kept", "compacted"} {
		fill(t, s, topic, 3)
	}
	_, end := bounds(t, s, "small")
	eventually(t, "the small topic is cut", func() bool {
		hand.move(young)
		first, _ := bounds(t, s, "small")
		return first > 0
	})
	for _, topic := range []string{"short", "kept", "compacted"} {
		if first, _ := bounds(t, s, topic); first != 0 {
			t.Errorf("topic %s was cut at %d", topic, first)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = start(t, c) // the embedded broker's own retention would not run now
	var first int64
	eventually(t, "the short topic is cut", func() bool {
		hand.move(2 * year)
		first, _ = bounds(t, s, "short")
		return first > 0
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, c)
	if again, now := bounds(t, s, "short"); again != first || now != end {
		t.Errorf("offsets %d to %d after a restart, want %d to %d", again, now, first, end)
	}
	if got := consume(t, s, "short"); int64(len(got)) != end-first || len(got) == 0 {
		t.Errorf("%d records from %d to %d", len(got), first, end)
	}
}

func TestOffsetsGoOnAfterAllRecordsWereDeleted(t *testing.T) {
	t.Parallel()
	c := config(t)
	s := start(t, c)
	createTopic(t, s, "events", 1, nil)
	k := client(t, s)
	produce(t, k, "events", 0, "a", "b", "c")
	everything := kadm.Offsets{}
	everything.AddOffset("events", 0, 3, -1)
	if _, err := kadm.NewClient(k).DeleteRecords(t.Context(), everything); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = start(t, c)
		if first, end := bounds(t, s, "events"); first != 3 || end != 3 {
			t.Fatalf("offsets %d to %d after a restart, want 3 to 3", first, end)
		}
	}
	produce(t, client(t, s), "events", 0, "d")
	if got := consume(t, s, "events"); len(got) != 1 || got[0] != "3 d" {
		t.Errorf("the topic has %q", got)
	}
}
