package redis

import (
	"bytes"
	"cmp"
	"slices"
	"time"
)

// call builds the arguments of luaWrite and keeps their memory. A string in an any costs memory each time, so those that
// every call has are made once.
type call struct {
	s                                      *Sink
	evalsha, sha, changes, notices, writer any
	args                                   []any
	to                                     []target
}

func newCall(s *Sink, sha string) call {
	return call{s: s, evalsha: "evalsha", sha: sha, changes: changesKey(s.place), notices: noticesOf(s.place), writer: s.writer}
}

// target is a window that a call writes to.
type target struct {
	key             text
	start, expiry   int64
	lowest, highest text
	n               int
}

// text is an argument that is built in place.
type text struct{ bytes []byte }

// MarshalBinary lets go-redis take the bytes without a conversion that allocates.
func (t *text) MarshalBinary() ([]byte, error) { return t.bytes, nil }

// arguments sorts the blocks by window and returns the arguments of EVALSHA, which are valid until the next call.
func (c *call) arguments(blocks []*block) []any {
	slices.SortFunc(blocks, func(a, b *block) int {
		return cmp.Or(cmp.Compare(a.at.start, b.at.start), cmp.Compare(a.at.slot, b.at.slot), cmp.Compare(a.number, b.number))
	})
	c.group(blocks)
	args := c.args[:0]
	args = append(args, c.evalsha, c.sha, len(c.to)+1, c.changes)
	for i := range c.to {
		args = append(args, &c.to[i].key)
	}
	args = append(args, c.notices)
	at := 0
	for i := range c.to {
		t := &c.to[i]
		args = append(args, &t.start, &t.expiry, c.writer, &t.lowest, &t.highest, &t.n)
		for _, b := range blocks[at : at+t.n] {
			args = append(args, c.s.fields[b.at.slot], b)
		}
		at += t.n
	}
	c.args = args
	return args
}

// group fills the targets. The bytes before a block are its version, and their order is that of versions.
func (c *call) group(blocks []*block) {
	c.to = c.to[:0]
	for i, b := range blocks {
		version := b.bytes[:versionSize]
		if i == 0 || b.at.start != blocks[i-1].at.start {
			if len(c.to) < cap(c.to) {
				c.to = c.to[:len(c.to)+1]
			} else {
				c.to = append(c.to, target{})
			}
			t := &c.to[len(c.to)-1]
			t.start, t.expiry, t.n = int64(b.at.start), 0, 0
			if keep := c.s.config.Output.Keep; keep > 0 {
				t.expiry = int64(b.window.End.Add(keep)) / int64(time.Millisecond)
			}
			t.key.bytes = appendWindowKey(t.key.bytes[:0], c.s.place, b.at.start)
			t.lowest.bytes = append(t.lowest.bytes[:0], version...)
			t.highest.bytes = append(t.highest.bytes[:0], version...)
		}
		t := &c.to[len(c.to)-1]
		t.n++
		if bytes.Compare(version, t.lowest.bytes) < 0 {
			t.lowest.bytes = append(t.lowest.bytes[:0], version...)
		}
		if bytes.Compare(version, t.highest.bytes) > 0 {
			t.highest.bytes = append(t.highest.bytes[:0], version...)
		}
	}
}
