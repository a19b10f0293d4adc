package aggregate

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/tidewatch/tidewatch/stream"
)

// The limits of count_distinct: up to so many different values the answer is exact.
const (
	DefaultDistinct = 64
	MaxDistinct     = 4096
)

// noHash is a free place of a set. It is larger than every hash, so that free places are the last.
const noHash = math.MaxUint64

// countDistinct is the number of different values of a column. The state is the limit+1 smallest 64-bit hashes of the
// values, in order. While there are not more than limit of them the count is exact, but for values that share a hash: with
// n values the chance is below n²/2^65. Beyond the limit it is an estimate from how dense the smallest hashes lie, with a
// standard error of about 1/sqrt(limit), 13 % with the usual limit (the sketch of the k minimum values: Bar-Yossef et al.:
// Counting Distinct Elements in a Data Stream, 2002; the unbiased estimate: Beyer et al.: On Synopses for Distinct-Value
// Estimation, 2007). The smallest hashes of a union are among the smallest of its parts, so states merge in any order.
func countDistinct(limit int) function {
	empty := make([]uint64, limit+1)
	for i := range empty {
		empty[i] = noHash
	}
	d := &distinct{size: len(empty)}
	return function{
		name: "count_distinct", argument: value, limit: limit, result: stream.Int, empty: empty,
		columns: []stream.Field{{Name: "hashes", Kind: stream.String}},
		add:     d.add, merge: d.merge, value: d.value, save: d.save, load: d.load,
	}
}

// limited is the function with another limit; 0 leaves it.
func (f function) limited(limit int) (function, error) {
	switch {
	case limit == 0:
		return f, nil
	case f.limit == 0:
		return f, fmt.Errorf("%s takes no limit: write %s", f.name, f.usage())
	case limit < 0 || limit > MaxDistinct:
		return f, fmt.Errorf("the limit of %s is from 1 to %d", f.name, MaxDistinct)
	}
	return countDistinct(limit), nil
}

// distinct has scratch memory, so each Set has its own.
type distinct struct {
	size int // of a set
	row  [1]int
	key  []byte
}

func (d *distinct) add(words []uint64, in *input) {
	one := stream.Batch{Cols: []stream.Column{*in.column}}
	for i, a := range in.at {
		d.key = stream.AppendKey(d.key[:0], &one, d.row[:], int(in.rows[i]))
		insertHash(words[a:][:d.size], min(xxh3.Hash(d.key), noHash-1))
	}
}

// insertHash puts a hash in its place; the largest falls out of a full set.
func insertHash(set []uint64, h uint64) {
	i, found := slices.BinarySearch(set, h)
	if found || i == len(set) {
		return
	}
	copy(set[i+1:], set[i:])
	set[i] = h
}

func (d *distinct) merge(into, from []uint64) {
	for _, h := range from[:d.size] {
		if h == noHash {
			return
		}
		insertHash(into[:d.size], h)
	}
}

func (d *distinct) value(words []uint64, at []uint32, out *stream.Column) {
	for _, a := range at {
		out.AppendInt(countOf(words[a:][:d.size]))
	}
}

func countOf(set []uint64) int64 {
	k := len(set)
	if n, _ := slices.BinarySearch(set, noHash); n < k {
		return int64(n)
	}
	share := (float64(set[k-1]) + 1) / (1 << 64) // of all hashes, that are as small
	return max(int64(k), int64(math.Round(float64(k-1)/share)))
}

// save packs each set into a string: eight bytes a hash, smallest first. No row has been appended yet, so the strings of
// the batch before can go.
func (d *distinct) save(words []uint64, at []uint32, out []stream.Column) {
	c := &out[0]
	if c.Len() == 0 {
		c.Dict.Reset()
	}
	for _, a := range at {
		d.key = d.key[:0]
		for _, h := range words[a:][:d.size] {
			if h == noHash {
				break
			}
			d.key = binary.BigEndian.AppendUint64(d.key, h)
		}
		c.AppendBytes(d.key)
	}
}

// load reads what save wrote. The internal topic is our own, so other bytes come from nobody; they cannot do harm.
func (d *distinct) load(in []stream.Column, row int, state []uint64) {
	set := state[:d.size]
	for i := range set {
		set[i] = noHash
	}
	for b := in[0].Dict.Bytes(in[0].IDs[row]); len(b) >= 8; b = b[8:] {
		insertHash(set, min(binary.BigEndian.Uint64(b), noHash-1))
	}
}
