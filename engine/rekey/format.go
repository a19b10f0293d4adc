// Package rekey carries partials and progress from the first stage of a re-keyed pipeline to the second, through an
// internal topic: the sink that writes it, the decoder and the marker that read it.
//
// A record of the topic is one of three kinds. Numbers are varints, zig-zag where they may be negative.
//
//	'P' 1 source offset step flags start size rows columns…   partials of one window; flags: 1 the source had closed it before
//	'M' 1 source offset step mark record-mark sources          progress of a source partition, written in the reveal
//	'R' 1 source offset step                                   before it, once: the source has quarantined the record at offset
//
// offset and step are the version of the source task: a partial folds all records below offset, and knows step control
// records. A source reveals progress at the version before and at that after each of them, so that a change of the step
// tells which marks an idle tick has moved. A quarantine at offset with that step makes void whatever the source has sent
// beyond offset with a lower step: an owner sent it that did not know. A column is a byte that
// says whether any value is null, then a bitmap of the nulls if so, then the values: strings with their length, floats as
// eight bytes, everything else as a signed varint. Marks in seconds would lose order, so they are nanoseconds.
package rekey

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/tidewatch/tidewatch/stream"
)

const (
	partialRecord = 'P'
	markRecord    = 'M'
	raiseRecord   = 'R'
	format        = 1

	flagAfterClose = 1
)

// PartitionOf is the internal partition of a slot: fixed ranges, so that a slot stays where it is.
func PartitionOf(slot uint8, partitions int32) int32 {
	return int32(slot) * partitions / stream.Slots
}

// appendPartials encodes the rows idx of b.
func appendPartials(dst []byte, source int32, b *stream.Batch, idx []int32) []byte {
	dst = append(dst, partialRecord, format)
	dst = binary.AppendUvarint(dst, uint64(source))
	dst = binary.AppendUvarint(dst, uint64(b.Version.Offset))
	dst = binary.AppendUvarint(dst, uint64(b.Version.Step))
	var flags byte
	if b.AfterClose {
		flags |= flagAfterClose
	}
	dst = append(dst, flags)
	dst = binary.AppendVarint(dst, int64(b.Window.Start))
	dst = binary.AppendUvarint(dst, uint64(b.Window.End-b.Window.Start))
	dst = binary.AppendUvarint(dst, uint64(len(idx)))
	for c := range b.Cols {
		dst = appendColumn(dst, &b.Cols[c], idx)
	}
	return dst
}

func appendColumn(dst []byte, c *stream.Column, idx []int32) []byte {
	dst, at := append(dst, 0), len(dst)
	if len(c.Null) > 0 {
		dst = appendNulls(dst, at, c, idx)
	}
	switch c.Kind {
	case stream.Float:
		for _, i := range idx {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(c.Floats[i]))
		}
	case stream.String:
		for _, i := range idx {
			s := c.Dict.Bytes(c.IDs[i])
			dst = binary.AppendUvarint(dst, uint64(len(s)))
			dst = append(dst, s...)
		}
	case stream.Int, stream.Bool, stream.Timestamp:
		for _, i := range idx {
			dst = binary.AppendVarint(dst, c.Ints[i])
		}
	}
	return dst
}

func appendNulls(dst []byte, at int, c *stream.Column, idx []int32) []byte {
	start := len(dst)
	for k, i := range idx {
		if k%8 == 0 {
			dst = append(dst, 0)
		}
		if c.Null[i] {
			dst[at] = 1
			dst[start+k/8] |= 1 << (k % 8)
		}
	}
	if dst[at] == 0 {
		return dst[:start]
	}
	return dst
}

// progress is what a mark record says.
type progress struct {
	Source     int32       `json:"source"`
	Offset     int64       `json:"offset"`
	Step       uint32      `json:"step"`
	Mark       stream.Time `json:"mark"`
	RecordMark stream.Time `json:"record_mark"`
	Sources    int32       `json:"sources"`          // number of source partitions, as of when the task started
	Raised     bool        `json:"raised,omitempty"` // a quarantine has taken effect at the version
}

func appendRaise(dst []byte, p *progress) []byte {
	dst = append(dst, raiseRecord, format)
	dst = binary.AppendUvarint(dst, uint64(p.Source))
	dst = binary.AppendUvarint(dst, uint64(p.Offset))
	return binary.AppendUvarint(dst, uint64(p.Step))
}

func appendMark(dst []byte, p *progress) []byte {
	dst = append(dst, markRecord, format)
	dst = binary.AppendUvarint(dst, uint64(p.Source))
	dst = binary.AppendUvarint(dst, uint64(p.Offset))
	dst = binary.AppendUvarint(dst, uint64(p.Step))
	dst = binary.AppendVarint(dst, int64(p.Mark))
	dst = binary.AppendVarint(dst, int64(p.RecordMark))
	return binary.AppendUvarint(dst, uint64(p.Sources))
}

// reader reads a record; the first failure sticks.
type reader struct {
	b   []byte
	bad bool
}

var errShort = errors.New("internal record is damaged: it ends too early")

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
