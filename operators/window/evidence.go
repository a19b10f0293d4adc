package window

import "github.com/tidewatch/tidewatch/stream"

// Evidence takes four words of a cell: offset and event time of the first record that it counts, and of the last, by
// offset. Records of a partition come in the order of their offsets.
const (
	firstOffset = iota
	firstTime
	lastOffset
	lastTime
	evidenceWords
)

// noOffset is the first offset of a cell that counts nothing.
const noOffset = ^uint64(0)

// evidenceFields are the columns of rollup rows; partials do without the partition, which their entry names.
var evidenceFields = []stream.Field{
	{Name: "_partition", Kind: stream.Int},
	{Name: "_first", Kind: stream.Int},
	{Name: "_first_time", Kind: stream.Timestamp},
	{Name: "_last", Kind: stream.Int},
	{Name: "_last_time", Kind: stream.Timestamp},
}

func appendNoEvidence(words []uint64) []uint64 { return append(words, noOffset, 0, noOffset, 0) }

// addEvidence notes the rows in the cells at at; words begins with the evidence of the first cell.
func addEvidence(words []uint64, at []uint32, b *stream.Batch, rows []int32) {
	for i, r := range rows {
		e := words[at[i]:][:evidenceWords]
		offset, time := uint64(b.Offset[r]), uint64(b.Time[r])
		if e[firstOffset] == noOffset {
			e[firstOffset], e[firstTime] = offset, time
		}
		e[lastOffset], e[lastTime] = offset, time
	}
}

// appendEvidence appends the evidence of cells to its columns, which begin with _first.
func appendEvidence(words []uint64, at []uint32, out []stream.Column) {
	for k := range evidenceWords {
		c := &out[k]
		for _, a := range at {
			c.AppendInt(int64(words[int(a)+k]))
		}
	}
}

func loadEvidence(in []stream.Column, row int, words []uint64) {
	for k := range evidenceWords {
		words[k] = uint64(in[k].Ints[row])
	}
}
