package kafka

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/stream"
)

// display holds the offsets that tools which show the lag of consumer groups are to see. It is safe for concurrent use.
type display struct {
	mu struct {
		sync.Mutex
		offsets map[string]map[int32]kgo.EpochOffset
	}
}

// displayEvery is how often they are committed.
const displayEvery = 5 * time.Second

// CommitForDisplay notes the offset up to which the partition was worked off, for the lag displays of other tools. It is
// never read back. Where several pipelines read a partition, the lowest of their offsets is the right one.
func (s *Source) CommitForDisplay(p stream.Partition, offset int64) {
	s.display.mu.Lock()
	defer s.display.mu.Unlock()
	if s.display.mu.offsets == nil {
		s.display.mu.offsets = map[string]map[int32]kgo.EpochOffset{}
	}
	of := s.display.mu.offsets[p.Topic]
	if of == nil {
		of = map[int32]kgo.EpochOffset{}
		s.display.mu.offsets[p.Topic] = of
	}
	of[p.Number] = kgo.EpochOffset{Epoch: -1, Offset: offset}
}

// commit is a method of the group's client.
type commit func(context.Context, map[string]map[int32]kgo.EpochOffset, func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error))

// send commits what was noted since the last time. A failure only spoils a display until the next one.
func (d *display) send(ctx context.Context, do commit, log *slog.Logger) {
	d.mu.Lock()
	offsets := d.mu.offsets
	d.mu.offsets = nil
	d.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	do(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			log.Debug("offsets for display were not committed", "error", err)
		}
	})
}
