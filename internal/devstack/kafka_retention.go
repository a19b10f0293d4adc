package devstack

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	retainEvery      = 10 * time.Second
	defaultRetention = 7 * 24 * time.Hour // of topics that say nothing, as in Kafka
	// young is the age up to which nothing goes because of its size, and the time after the start in which nothing goes:
	// whoever writes more in a moment than is kept wants it read, and readers of a log that was cut before them cannot go on.
	young = 10 * time.Minute
)

// retention is what a topic wants kept. Negative means no limit.
type retention struct {
	age   time.Duration
	bytes int64 // per partition
}

// retain removes old files of the broker until ctx ends: whole files, by `retention.ms` and `retention.bytes` of the topic.
// The broker has a retention of its own that does not fit: after a restart it does not run until a topic is made or
// changed; and it empties a topic that nobody writes to, whereupon the offsets of that topic begin again at 0 with the next
// start. Here the newest file of a partition always stays. A file's age is the time since it was last written to, not that
// of the timestamps in it: a replay of old events must not vanish before it is read.
//
// Nothing goes in the first minutes, since after a stop of days everything is old and a reader may not have come back yet.
func (b *broker) retain(ctx context.Context) {
	for wait := young; ; wait = retainEvery {
		select {
		case <-b.clock.After(wait):
		case <-ctx.Done():
			return
		}
		if err := b.retainOnce(); err != nil {
			b.log.Warn("the embedded Kafka cannot remove old records", "error", err)
		}
	}
}

func (b *broker) retainOnce() error {
	all, err := partitions(b.dir)
	if err != nil {
		return err
	}
	for _, p := range all {
		info := b.cluster.TopicInfo(p.topic)
		if info == nil || b.compacted(p.topic, info.Configs) {
			continue
		}
		segments, err := p.segments()
		if err != nil {
			return err
		}
		cut := retentionOf(info.Configs, b.keep).cut(segments, b.clock.Now())
		at := b.cluster.PartitionInfo(p.topic, p.number)
		if at == nil || cut <= at.LogStartOffset {
			continue
		}
		if err := b.cluster.DeleteRecords(p.topic, p.number, cut); err != nil {
			return err
		}
		b.log.Debug("embedded Kafka: removed old records", "topic", p.topic, "partition", p.number, "before", cut)
	}
	return nil
}

// compacted reports whether a topic shall be compacted and not cut. The broker can do it, but only together with its own
// retention of all topics; so such topics grow, which is said once.
func (b *broker) compacted(topic string, configs map[string]*string) bool {
	policy := configs["cleanup.policy"]
	if policy == nil || !strings.Contains(*policy, "compact") {
		return false
	}
	if !b.warned[topic] {
		b.warned[topic] = true
		b.log.Warn("the embedded Kafka does not compact topics", "topic", topic)
	}
	return !slices.Contains(strings.Split(*policy, ","), "delete")
}

// retentionOf reads the configuration of a topic. Values are what the broker has accepted; what is missing is as in keep.
func retentionOf(configs map[string]*string, keep retention) retention {
	number := func(name string, otherwise int64) int64 {
		if v := configs[name]; v != nil {
			if n, err := strconv.ParseInt(*v, 10, 64); err == nil {
				return n
			}
		}
		return otherwise
	}
	const most = int64(1<<63-1) / int64(time.Millisecond)
	ms := min(number("retention.ms", keep.age.Milliseconds()), most)
	return retention{age: time.Duration(ms) * time.Millisecond, bytes: number("retention.bytes", keep.bytes)}
}

// cut is the offset before which everything can go, 0 if nothing can. Files go oldest first; a file that is not young goes by
// size if what is left still has `bytes`.
func (r retention) cut(segments []segment, now time.Time) int64 {
	total, cut := size(segments), int64(0)
	for i := 0; i+1 < len(segments); i++ {
		old := r.age >= 0 && now.Sub(segments[i].written) >= r.age
		big := r.bytes >= 0 && total-segments[i].size >= r.bytes && now.Sub(segments[i].written) >= young
		if !old && !big {
			break
		}
		total -= segments[i].size
		cut = segments[i+1].base
	}
	return cut
}
