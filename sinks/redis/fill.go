package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

// What is in Redis is noted there, in a hash with a field for each part: an output of a task. When Redis is emptied, the
// notes go with everything else, so whoever works on a part sees that it has to be written again, be it that Redis was
// emptied now, before the program was started, or while the task moved to another worker.

// filling begins the note of a part that is being written; a token of the writer follows.
const filling = "filling "

// Unfilled lists the parts of which Redis does not say that it has everything, in the order given.
func (c *Client) Unfilled(ctx context.Context, parts []string) ([]string, error) {
	if len(parts) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	notes, err := c.rdb.HMGet(ctx, c.readyKey(), parts...).Result()
	if err != nil {
		return nil, failure("look for content of redis", err)
	}
	var missing []string
	for i, part := range parts {
		note, ok := notes[i].(string)
		if !ok || len(note) >= len(filling) && note[:len(filling)] == filling {
			missing = append(missing, part)
		}
	}
	return missing, nil
}

// Noted reports whether any part whose name begins so was ever noted: if not, Redis was emptied since, or never had it.
func (c *Client) Noted(ctx context.Context, prefix string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	parts, err := c.rdb.HKeys(ctx, c.readyKey()).Result()
	if err != nil {
		return false, failure("read what is noted", err)
	}
	return slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, prefix) }), nil
}

// Empty reports whether no part at all is noted: nothing is in Redis, or somebody is just beginning.
func (c *Client) Empty(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	n, err := c.rdb.Exists(ctx, c.readyKey()).Result()
	if err != nil {
		return false, failure("look for content of redis", err)
	}
	return n == 0, nil
}

// Noting is what Redis says of a part: since when it has everything of it, "" while it is being written.
type Noting struct{ Part, Since string }

// Notings lists all parts of which Redis says anything, sorted.
func (c *Client) Notings(ctx context.Context) ([]Noting, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	notes, err := c.rdb.HGetAll(ctx, c.readyKey()).Result()
	if err != nil {
		return nil, failure("read what is noted", err)
	}
	all := make([]Noting, 0, len(notes))
	for _, part := range slices.Sorted(maps.Keys(notes)) {
		n := Noting{Part: part, Since: notes[part]}
		if strings.HasPrefix(n.Since, filling) {
			n.Since = ""
		}
		all = append(all, n)
	}
	return all, nil
}

// Forget takes back that Redis has everything of these parts: the workers that run their tasks fill them again.
func (c *Client) Forget(ctx context.Context, parts []string) error {
	if len(parts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.rdb.HDel(ctx, c.readyKey(), parts...).Err(); err != nil {
		return failure("forget what is noted", err)
	}
	return nil
}

// NoteNew notes that nothing is missing of a part that begins now. It is called before the first write: a Redis that is emptied
// from then on loses the note. A part that has a note keeps it.
func (c *Client) NoteNew(ctx context.Context, part string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.rdb.HSetNX(ctx, c.readyKey(), part, c.noteNow()).Err(); err != nil {
		return failure("note a new part in redis", err)
	}
	return nil
}

// noteNow is the note of a part that is complete: the wall clock, for people.
func (c *Client) noteNow() string { return c.clock.Now().UTC().Format(time.RFC3339) }

// Fill is a run in which parts are written again.
type Fill struct {
	c    *Client
	note string
}

// BeginFill notes that parts are being written from now on.
func (c *Client) BeginFill(ctx context.Context, parts []string) (*Fill, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	f := &Fill{c: c, note: filling + rand.Text()}
	values := make([]any, 0, 2*len(parts))
	for _, part := range parts {
		values = append(values, part, f.note)
	}
	if err := c.rdb.HSet(ctx, c.readyKey(), values...).Err(); err != nil {
		return nil, failure("begin to fill redis", err)
	}
	return f, nil
}

// luaFilled replaces the notes that are still there. KEYS: the hash. ARGV: the note, what replaces it, fields. It returns
// how many it has replaced.
const luaFilled = `
local n = 0
for i = 3, #ARGV do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[1] then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[2])
    n = n + 1
  end
end
return n
`

// ErrEmptied is wrapped by the error of a Fill that has to be done again: Redis was emptied meanwhile, or somebody else
// fills the same part.
var ErrEmptied = errors.New("redis was emptied again or is filled by another worker")

// End notes that these parts are in Redis; all that was written for them must have been acknowledged. Parts whose
// beginning is not noted any more stay unfilled.
func (f *Fill) End(ctx context.Context, parts []string) error {
	if len(parts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.c.timeout)
	defer cancel()
	args := []any{f.note, f.c.noteNow()}
	for _, part := range slices.Sorted(slices.Values(parts)) {
		args = append(args, part)
	}
	n, err := goredis.NewScript(luaFilled).Run(ctx, f.c.rdb, []string{f.c.readyKey()}, args...).Int()
	if err != nil {
		return failure("note what is in redis", err)
	}
	if n < len(parts) {
		return stream.Mark(stream.Retry, ErrEmptied)
	}
	return nil
}
