package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

// RedisRow is the kind of sink in letters about blocks that were parked here.
const RedisRow = "redis"

// manyCuts is how often in a row Redis must close the connection at a large block, and answer a ping right after, before the
// block is taken to be larger than it takes: the answer that says so is lost with the connection.
const manyCuts = 5

// parkedBlock is the letter about a block: its rows for people, and all that it takes to store it later.
type parkedBlock struct {
	Window parkedWindow     `json:"window"`
	Slot   uint8            `json:"slot"`
	Rows   []map[string]any `json:"rows"`
	Key    string           `json:"key"` // of the window
	Place  string           `json:"place"`
	Writer string           `json:"writer"`
	Field  string           `json:"field"`
	Expiry int64            `json:"expiry_ms"` // 0: never
	Block  []byte           `json:"block"`
}

type parkedWindow struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// mayRefuse says that the error may be about a block, so that it is worth trying each by itself.
func mayRefuse(err error, blocks []*block) bool {
	if refusal(err) {
		return true
	}
	large := false
	for _, b := range blocks {
		large = large || len(b.bytes) > callBytes
	}
	return large && isCut(err)
}

// refusal says that Redis answered that it will not take what was sent.
func refusal(err error) bool {
	text := err.Error()
	return strings.Contains(text, "WRONGTYPE") || strings.Contains(text, "exceeds maximum allowed size") || strings.Contains(text, "invalid bulk length")
}

func isCut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// refuses says that it is the block, sent by itself, that Redis will never take. A key of the wrong type may also be one that
// all blocks share, which is no fault of this one.
func (d *sender) refuses(ctx context.Context, b *block, err error) bool {
	switch {
	case strings.Contains(err.Error(), "WRONGTYPE"):
		kind, err := d.s.client.rdb.Type(ctx, windowKey(d.s.place, b.at.start)).Result()
		return err == nil && kind != "hash" && kind != "none"
	case refusal(err):
		return true
	case len(b.bytes) > callBytes && isCut(err) && d.s.client.Ping(ctx) == nil:
		d.cuts++
		return d.cuts >= manyCuts
	}
	return false
}

// park makes a letter of a block of a closed window. Open windows come again, with the value that counts at the end.
func (d *sender) park(ctx context.Context, b *block, why error) error {
	if !b.final {
		return nil
	}
	s := d.s
	p := parkedBlock{
		Window: parkedWindow{b.window.Start.Go(), b.window.End.Go()}, Slot: b.at.slot, Key: windowKey(s.place, b.at.start), Place: s.place,
		Writer: s.writer, Field: slotField(s.writer, int(b.at.slot)), Expiry: expiryOf(&s.config.Output, b.window), Block: b.bytes,
	}
	var err error
	if p.Rows, err = rowsOfBlock(&s.config.Output, b.bytes); err != nil {
		return err
	}
	raw, err := json.Marshal(&p)
	if err != nil {
		return fmt.Errorf("park a block: %w", err)
	}
	reason := "refused by Redis: " + why.Error()
	if len(b.bytes) > callBytes {
		reason = fmt.Sprintf("refused by Redis: a slot of %d bytes: raise its proto-max-bulk-len", len(b.bytes))
	}
	at := versionOf(b.bytes)
	return s.config.Park(ctx, &stream.Rejected{
		Kind: stream.LetterParked, Offset: at.Offset, Reason: reason, Detail: why.Error(), Raw: raw,
		Row: &stream.ParkedRow{
			Sink: RedisRow, Output: s.config.Name, Target: p.Key, Name: fmt.Sprintf("%d/%d/%d", b.at.slot, at.Offset, at.Step), Phase: stream.Closed, At: at,
		},
	})
}

func expiryOf(o *Output, w stream.Window) int64 {
	if o.Keep == 0 {
		return 0
	}
	return int64(w.End.Add(o.Keep)) / int64(time.Millisecond)
}

// rowsOfBlock shows the rows of a block; numbers that JSON has no word for are null.
func rowsOfBlock(o *Output, raw []byte) ([]map[string]any, error) {
	var r rows
	if err := r.unpack(raw); err != nil {
		return nil, err
	}
	all := make([]map[string]any, r.n)
	for i := range all {
		all[i] = make(map[string]any, len(r.columns))
		for k := range r.columns {
			all[i][o.Columns[k].Name] = r.columns[k].shown(i)
		}
	}
	return all, nil
}

func (v *values) shown(i int) any {
	if v.isNull(i) {
		return nil
	}
	switch v.kind {
	case stream.Float:
		if f := v.floats[i]; !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return nil
	case stream.String:
		return string(v.textOf(i))
	case stream.Bool:
		return v.ints[i] != 0
	case stream.Timestamp:
		return stream.Time(v.ints[i]).Go()
	case stream.Int:
		return v.ints[i]
	}
	return nil
}

// ErrExpired says that a parked block belongs to a window that Redis would have deleted by now.
var ErrExpired = errors.New("its window is not kept in Redis any more")

// WriteParked stores a block from a letter, unless Redis has a newer one of the same slot: then stored is false, and nothing is
// missing. What it still refuses is an error, and so is a letter that was cut.
func (c *Client) WriteParked(ctx context.Context, letter []byte) (stored bool, err error) {
	var p parkedBlock
	if err := json.Unmarshal(letter, &p); err != nil || len(p.Block) <= versionSize || !strings.HasPrefix(p.Key, p.Place) {
		return false, stream.Mark(stream.Reject, fmt.Errorf("read parked block: the letter holds no whole one: %w", errors.Join(errDamaged, err)))
	}
	if p.Expiry > 0 && p.Expiry < c.clock.Now().UnixMilli() {
		return false, stream.Mark(stream.Reject, fmt.Errorf("write parked block of %s: %w", p.Window.Start.Format(time.RFC3339), ErrExpired))
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	version := p.Block[:versionSize]
	keys := []string{changesKey(p.Place), p.Key}
	args := []any{noticesOf(p.Place), p.Window.Start.UnixNano(), p.Expiry, p.Writer, version, version, 1, p.Field, p.Block}
	change, err := goredis.NewScript(luaWrite).Run(ctx, c.rdb, keys, args...).Int()
	if err != nil {
		return false, failure("write parked block to redis", err)
	}
	return change > 0, nil
}
