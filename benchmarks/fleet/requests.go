package main

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/stream"
)

// op is a method of stream.Objects.
type op string

// The methods.
const (
	opPut    op = "put"
	opCopy   op = "copy"
	opGet    op = "get"
	opList   op = "list"
	opDelete op = "delete"
)

// call is one that a task has made. Of a copy, the key is that of the target.
type call struct {
	op   op
	key  string
	size int
}

// countingObjects notes the calls to a store. Safe for concurrent use.
type countingObjects struct {
	store stream.Objects
	mu    struct {
		sync.Mutex
		calls []call
	}
}

func (c *countingObjects) note(o op, key string, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.calls = append(c.mu.calls, call{o, key, size})
}

// calls are those so far.
func (c *countingObjects) calls() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clip(c.mu.calls)
}

// Put implements stream.Objects.
func (c *countingObjects) Put(ctx context.Context, key string, data []byte) error {
	c.note(opPut, key, len(data))
	return c.store.Put(ctx, key, data)
}

// Copy implements stream.Objects.
func (c *countingObjects) Copy(ctx context.Context, from, to string) error {
	c.note(opCopy, to, 0)
	return c.store.Copy(ctx, from, to)
}

// Get implements stream.Objects.
func (c *countingObjects) Get(ctx context.Context, key string) ([]byte, error) {
	c.note(opGet, key, 0)
	return c.store.Get(ctx, key)
}

// List implements stream.Objects.
func (c *countingObjects) List(ctx context.Context, prefix string, f func(stream.Object) error) error {
	c.note(opList, prefix, 0)
	return c.store.List(ctx, prefix, f)
}

// Delete implements stream.Objects.
func (c *countingObjects) Delete(ctx context.Context, key string) error {
	c.note(opDelete, key, 0)
	return c.store.Delete(ctx, key)
}

// kind is what an object is to the product; "" is none that comes again and again.
type kind string

// The kinds.
const (
	snapshotKind kind = "snapshot of a task"
	rawKind      kind = "raw part"
	cutKind      kind = "snapshot of the archive"
	rollupKind   kind = "rollup file"
)

func kinds() []kind { return []kind{snapshotKind, rawKind, cutKind, rollupKind} }

const statePrefix = "state/"

// epochFolder is what the collector lists: where an epoch has put its objects. A take-over lists other prefixes.
var epochFolder = regexp.MustCompile(`^` + statePrefix + `.*/[0-9a-f]{24}-[0-9a-f]+/$`)

// firstEpoch is in the names of what a task puts before it has read anything: it does so once.
const firstEpoch = "/000000000000000000000000-"

// kindOf tells by the key, staged or visible.
func kindOf(key string) kind {
	staged := strings.HasPrefix(key, statePrefix)
	in := func(root string) bool {
		return strings.HasPrefix(key, root) || staged && strings.Contains(key, "/"+root)
	}
	switch {
	case strings.Contains(key, firstEpoch):
		return ""
	case staged && strings.HasSuffix(key, "/snapshot") && strings.HasPrefix(key, statePrefix+"archive."):
		return cutKind
	case staged && strings.HasSuffix(key, "/snapshot"):
		return snapshotKind
	case in(columnfile.RawRoot):
		return rawKind
	case in(columnfile.RollupRoot):
		return rollupKind
	}
	return ""
}

// life is what an object of a kind costs from its first request to its last.
type life struct {
	Objects int            `json:"objects"`    // in the run
	Bytes   float64        `json:"bytes_each"` // mean
	Calls   map[op]float64 `json:"calls_each"`
}

// lives works out the calls for each object. When the run ends, some objects are no garbage yet, so what collecting costs is a mean
// over those that were collected. The listing of a folder is shared by what lies in it.
func lives(calls []call) map[kind]life {
	all, collected, collecting := map[kind]life{}, map[kind]float64{}, map[kind]map[op]float64{}
	for _, k := range kinds() {
		all[k], collecting[k] = life{Calls: map[op]float64{}}, map[op]float64{}
	}
	for _, c := range calls {
		switch k := kindOf(c.key); {
		case c.op == opList && epochFolder.MatchString(c.key):
			folder := putBelow(calls, c.key)
			for _, in := range folder {
				collected[in]++
				collecting[in][opList] += 1 / float64(len(folder))
			}
		case k == "":
		case c.op == opDelete:
			collecting[k][opDelete]++
		default:
			l := all[k]
			if l.Calls[c.op]++; c.op == opPut {
				l.Objects, l.Bytes = l.Objects+1, l.Bytes+float64(c.size)
			}
			all[k] = l
		}
	}
	for k, l := range all {
		if l.Objects == 0 {
			delete(all, k)
			continue
		}
		l.Bytes /= float64(l.Objects)
		for o := range l.Calls {
			l.Calls[o] /= float64(l.Objects)
		}
		for o, n := range collecting[k] {
			l.Calls[o] += n / max(collected[k], 1)
		}
		all[k] = l
	}
	return all
}

// putBelow are the kinds of the objects that were put below a prefix.
func putBelow(calls []call, prefix string) (found []kind) {
	for _, c := range calls {
		if k := kindOf(c.key); c.op == opPut && k != "" && strings.HasPrefix(c.key, prefix) {
			found = append(found, k)
		}
	}
	return found
}
