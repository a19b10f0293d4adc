package dedupe

import "github.com/tidewatch/tidewatch/stream"

// gather fills an empty batch with rows of another one that shares its dictionaries, column by column.
func gather(dst, src *stream.Batch, rows []int32) {
	dst.Phase = src.Phase
	for c := range src.Cols {
		from, to := &src.Cols[c], &dst.Cols[c]
		to.Ints = pick(to.Ints, from.Ints, rows)
		to.Floats = pick(to.Floats, from.Floats, rows)
		to.IDs = pick(to.IDs, from.IDs, rows)
		to.Null = pick(to.Null, from.Null, rows)
	}
	dst.Time, dst.Mark, dst.Offset = pick(dst.Time, src.Time, rows), pick(dst.Mark, src.Mark, rows), pick(dst.Offset, src.Offset, rows)
	dst.Producer, dst.Timestamp = pick(dst.Producer, src.Producer, rows), pick(dst.Timestamp, src.Timestamp, rows)
	dst.Bytes = pick(dst.Bytes, src.Bytes, rows)
	dst.SetLen(len(rows))
}

// pick appends the rows of a slice that may be empty.
func pick[T any](dst, src []T, rows []int32) []T {
	if len(src) == 0 {
		return dst
	}
	for _, r := range rows {
		dst = append(dst, src[r])
	}
	return dst
}
