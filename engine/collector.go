package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// collector deletes what no row names any more, an hour after the claim that stopped naming it: a fail-over of Postgres
// may bring an older row back until then. A restarted worker waits the hour again. Safe for concurrent use.
type collector struct {
	objects   stream.Objects
	clock     stream.Clock
	log       *slog.Logger
	retention time.Duration
	mu        struct {
		sync.Mutex
		due []garbage // in order of time
	}
}

type garbage struct {
	prefix string
	after  time.Time
}

// schedule notes prefixes whose objects are garbage from now on.
func (c *collector) schedule(prefixes []string) {
	after := c.clock.Now().Add(c.retention)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range prefixes {
		c.mu.due = append(c.mu.due, garbage{p, after})
	}
}

func (c *collector) next() (prefix string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.due) == 0 || c.clock.Now().Before(c.mu.due[0].after) {
		return "", false
	}
	prefix = c.mu.due[0].prefix
	c.mu.due = c.mu.due[1:]
	return prefix, true
}

// run deletes what is due until ctx is done.
func (c *collector) run(ctx context.Context) {
	for {
		for prefix, ok := c.next(); ok && ctx.Err() == nil; prefix, ok = c.next() {
			if err := deleteAll(ctx, c.objects, prefix); err != nil {
				c.log.Warn("deleting old objects failed; trying again later", "prefix", prefix, "error", err)
				c.schedule([]string{prefix})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-c.clock.After(max(c.retention/60, time.Second)):
		}
	}
}

// deleteAll deletes the objects below a prefix.
func deleteAll(ctx context.Context, objects stream.Objects, prefix string) error {
	var keys []string
	err := objects.List(ctx, prefix, func(o stream.Object) error {
		keys = append(keys, o.Key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := objects.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}
