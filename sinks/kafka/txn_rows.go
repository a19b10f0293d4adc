package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/tidewatch/tidewatch/stream"
)

// The rows of an epoch while they wait for its claim: staged as one object, or in the task's row if they are few. The bytes
// are stagedMagic, then blocks: each its compressed length as a uvarint, and a zstd frame. A frame holds whole rows: the phase
// in a byte, offset, step, index and length of the value as uvarints, and the value.

const (
	stagedMagic = "tidewatch rows 1\n"
	// blockBytes is how much is compressed at a time.
	blockBytes = 256 << 10
	// frameBytes is the most that a block may hold: a row is never cut.
	frameBytes = 1 << 30
)

// row is a row on its way.
type row struct {
	rowName
	value []byte
}

// position is a place in the rows of a task: those before version at, and rows of those at it. Rows come in the order of their
// versions, and all rows of a version in one epoch.
type position struct {
	stream.Version

	Rows int64 `json:"rows"`
}

// compare is negative, zero or positive as p is before, at or behind q.
func (p position) compare(q position) int {
	if c := p.Compare(q.Version); c != 0 {
		return c
	}
	switch {
	case p.Rows < q.Rows:
		return -1
	case p.Rows > q.Rows:
		return 1
	}
	return 0
}

// pass is the position behind the next row, which has the version.
func (p position) pass(at stream.Version) position {
	if p.Version != at {
		p = position{Version: at}
	}
	p.Rows++
	return p
}

// codec compresses blocks. Safe for concurrent use.
type codec struct {
	out *zstd.Encoder
	in  *zstd.Decoder
}

func newCodec() (*codec, error) {
	out, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	in, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(frameBytes))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &codec{out, in}, nil
}

// heldRows grows with the epoch. It belongs to the task's goroutine until it is staged, and to the committer's then.
type heldRows struct {
	codec *codec
	data  []byte // closed blocks
	open  []byte // not compressed yet
	raw   int    // bytes before compression
	rows  int
	last  position
}

func (h *heldRows) add(r *row) {
	at := r.version()
	h.last = h.last.pass(at)
	before := len(h.open)
	h.open = append(h.open, byte(r.phase))
	h.open = binary.AppendUvarint(h.open, uint64(r.at.Offset))
	h.open = binary.AppendUvarint(h.open, uint64(r.at.Step))
	h.open = binary.AppendUvarint(h.open, uint64(r.index))
	h.open = binary.AppendUvarint(h.open, uint64(len(r.value)))
	h.open = append(h.open, r.value...)
	h.rows++
	h.raw += len(h.open) - before
	if len(h.open) >= blockBytes {
		h.closeBlock()
	}
}

func (h *heldRows) closeBlock() {
	if len(h.data) == 0 {
		h.data = append(h.data, stagedMagic...)
	}
	frame := h.codec.out.EncodeAll(h.open, nil)
	h.data = append(binary.AppendUvarint(h.data, uint64(len(frame))), frame...)
	h.open = h.open[:0]
}

// staged closes the last block and returns all of them.
func (h *heldRows) staged() []byte {
	if len(h.open) > 0 {
		h.closeBlock()
	}
	h.open = nil
	return h.data
}

// size is the memory in use.
func (h *heldRows) size() int { return len(h.data) + len(h.open) }

var errStaged = errors.New("these are no staged rows")

// eachRow visits the rows; a row is lent until visit returns, whose error comes back unchanged.
func (c *codec) eachRow(data []byte, visit func(r *row) error) error {
	if len(data) < len(stagedMagic) || string(data[:len(stagedMagic)]) != stagedMagic {
		return errStaged
	}
	data = data[len(stagedMagic):]
	for len(data) > 0 {
		n, used := binary.Uvarint(data)
		if used <= 0 || n > uint64(len(data)-used) {
			return errStaged
		}
		block, err := c.in.DecodeAll(data[used:used+int(n)], nil)
		if err != nil {
			return fmt.Errorf("%w: %w", errStaged, err)
		}
		data = data[used+int(n):]
		for len(block) > 0 {
			var r row
			if block, err = r.decode(block); err != nil {
				return err
			}
			if err := visit(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

// decode reads the row that block begins with, and returns the rest.
func (r *row) decode(block []byte) (rest []byte, err error) {
	r.phase = stream.Phase(block[0])
	block = block[1:]
	var numbers [4]uint64
	for i := range numbers {
		n, used := binary.Uvarint(block)
		if used <= 0 {
			return nil, errStaged
		}
		numbers[i], block = n, block[used:]
	}
	if numbers[3] > uint64(len(block)) || r.phase > stream.Partial {
		return nil, errStaged
	}
	r.at = stream.Version{Offset: int64(numbers[0]), Step: uint32(numbers[1])}
	r.index, r.value = int64(numbers[2]), block[:numbers[3]]
	return block[numbers[3]:], nil
}
