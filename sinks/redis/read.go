package redis

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

// trip is the number of windows of one round trip, which bounds what is in memory at once.
const trip = 128

// Read answers a query with every window that Redis holds. A query that makes no sense is a Reject error that says so;
// a server that is away, Retry.
func (c *Client) Read(ctx context.Context, q Query) (*Result, error) {
	p, err := q.plan()
	if err != nil {
		return nil, err
	}
	r, err := c.readVersion(ctx, p)
	if err != nil || !p.q.Output.continues() || p.q.From >= p.q.Output.Since {
		return r, err
	}
	before, err := c.Read(ctx, p.before())
	if err != nil {
		return nil, err
	}
	return p.joined(before, r), nil
}

// readVersion reads the windows of one version of the pipeline.
func (c *Client) readVersion(ctx context.Context, p *plan) (*Result, error) {
	place := c.place(&p.q.Output)
	w, err := c.writers(ctx, &p.q.Output)
	if err != nil {
		return nil, err
	}
	a := newAnswer(p)
	for starts := range slices.Chunk(p.starts, trip) {
		if p.slot >= 0 {
			err = c.readSlot(ctx, place, w, a, starts)
		} else {
			err = c.readWindows(ctx, place, w, a, starts)
		}
		if err != nil {
			return nil, err
		}
	}
	return a.result(w.through), nil
}

// Latest answers a query with the newest point of each group.
func (c *Client) Latest(ctx context.Context, q Query) (*Result, error) {
	r, err := c.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	for i := range r.Series {
		s := &r.Series[i]
		last := len(s.Start) - 1
		s.Start = s.Start[last:]
		for k := range s.Columns {
			newest := stream.Column{Kind: s.Columns[k].Kind, Dict: s.Columns[k].Dict}
			newest.AppendFrom(&s.Columns[k], last)
			s.Columns[k] = newest
		}
	}
	return r, nil
}

// readSlot fetches the one block of each window and task that can hold the group.
func (c *Client) readSlot(ctx context.Context, place string, w *writers, a *answer, starts []stream.Time) error {
	fields := make([]string, len(w.names))
	for i, name := range w.names {
		fields[i] = slotField(name, a.plan.slot)
	}
	if len(fields) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	pipe := c.rdb.Pipeline()
	replies := make([]*goredis.SliceCmd, len(starts))
	for i, start := range starts {
		replies[i] = pipe.HMGet(ctx, windowKey(place, start), fields...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return failure("read windows", err)
	}
	for i, reply := range replies {
		for k, v := range reply.Val() {
			if block, ok := v.(string); ok {
				if err := a.add(starts[i], fields[k], block); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readWindows fetches whole windows.
func (c *Client) readWindows(ctx context.Context, place string, w *writers, a *answer, starts []stream.Time) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	pipe := c.rdb.Pipeline()
	replies := make([]*goredis.MapStringStringCmd, len(starts))
	for i, start := range starts {
		replies[i] = pipe.HGetAll(ctx, windowKey(place, start))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return failure("read windows", err)
	}
	for i, reply := range replies {
		window := reply.Val()
		for _, field := range slices.Sorted(maps.Keys(window)) {
			if name, ok := cutLast(field); !ok || !w.known[name] {
				continue // the highest version of a task, or of a task that is none any more
			}
			if err := a.add(starts[i], field, window[field]); err != nil {
				return err
			}
		}
	}
	return nil
}

// answer gathers points by group.
type answer struct {
	plan   *plan
	rows   rows
	key    []byte
	groups map[string]*Series
}

func newAnswer(p *plan) *answer { return &answer{plan: p, groups: map[string]*Series{}} }

func (a *answer) add(start stream.Time, field, block string) error {
	if err := a.rows.unpack([]byte(block)); err != nil {
		return fmt.Errorf("read window %v: field %s: %w", start, field, err)
	}
	if a.rows.tombstone {
		return nil
	}
	if err := a.check(); err != nil {
		return fmt.Errorf("read window %v: field %s: %w", start, field, err)
	}
	for i := range a.rows.n {
		if a.matches(i) {
			a.point(start, i)
		}
	}
	return nil
}

func (a *answer) check() error {
	if len(a.rows.columns) != len(a.plan.kinds) {
		return fmt.Errorf("the block has %d columns, the output has %d", len(a.rows.columns), len(a.plan.kinds))
	}
	for i, want := range a.plan.kinds {
		if got := a.rows.columns[i].kind; got != want {
			return fmt.Errorf("column %d of the block is %v, that of the output %v", i, got, want)
		}
	}
	return nil
}

func (a *answer) matches(i int) bool {
	for k := range a.plan.match {
		if !a.plan.match[k].holds(&a.rows, i) {
			return false
		}
	}
	return true
}

// point appends row i to the series of its group.
func (a *answer) point(start stream.Time, i int) {
	groups := a.plan.q.Output.Groups
	a.key = appendGroup(a.key[:0], a.rows.columns[:groups], i)
	s := a.groups[string(a.key)]
	if s == nil {
		s = a.series(i)
		a.groups[string(a.key)] = s
	}
	s.Start = append(s.Start, start)
	for k, column := range a.plan.values {
		appendValue(&s.Columns[k], &a.rows.columns[column], i)
	}
}

// series begins the series of row i's group.
func (a *answer) series(i int) *Series {
	s := &Series{}
	for k := range a.plan.q.Output.Groups {
		v := &a.rows.columns[k]
		s.Labels, s.Null = append(s.Labels, label(v, i)), append(s.Null, v.isNull(i))
	}
	for _, column := range a.plan.values {
		c := stream.Column{Kind: a.plan.kinds[column]}
		if c.Kind == stream.String {
			c.Dict = stream.NewDict()
		}
		s.Columns = append(s.Columns, c)
	}
	return s
}

func (a *answer) result(through stream.Time) *Result {
	r := &Result{Series: make([]Series, 0, len(a.groups)), CompleteThrough: through}
	for _, column := range a.plan.values {
		r.Columns = append(r.Columns, a.plan.q.Output.Columns[column].Name)
	}
	for _, key := range slices.Sorted(maps.Keys(a.groups)) {
		r.Series = append(r.Series, *a.groups[key])
	}
	slices.SortStableFunc(r.Series, func(x, y Series) int { return slices.Compare(x.Labels, y.Labels) })
	return r
}

// appendGroup makes a key of the group columns that differs where the groups differ.
func appendGroup(dst []byte, columns []values, i int) []byte {
	for k := range columns {
		v := &columns[k]
		switch {
		case v.isNull(i):
			dst = append(dst, 0)
		case v.kind == stream.String:
			text := v.textOf(i)
			dst = binary.AppendUvarint(append(dst, 1), uint64(len(text)))
			dst = append(dst, text...)
		case v.kind == stream.Float:
			dst = stream.AppendFloatBits(append(dst, 2), v.floats[i])
		default:
			dst = binary.AppendVarint(append(dst, 3), v.ints[i])
		}
	}
	return dst
}

// label is the text of a group value; "" if it is null.
func label(v *values, i int) string {
	switch {
	case v.isNull(i):
		return ""
	case v.kind == stream.String:
		return strings.ToValidUTF8(string(bytes.Clone(v.textOf(i))), "\uFFFD")
	case v.kind == stream.Float:
		return strconv.FormatFloat(v.floats[i], 'g', -1, 64)
	case v.kind == stream.Bool:
		return strconv.FormatBool(v.ints[i] != 0)
	case v.kind == stream.Timestamp:
		return stream.Time(v.ints[i]).String()
	}
	return strconv.FormatInt(v.ints[i], 10)
}

func appendValue(c *stream.Column, v *values, i int) {
	switch {
	case v.isNull(i):
		c.AppendNull()
	case v.kind == stream.Float:
		c.AppendFloat(v.floats[i])
	case v.kind == stream.String:
		c.AppendBytes(v.textOf(i))
	default:
		c.AppendInt(v.ints[i])
	}
}
