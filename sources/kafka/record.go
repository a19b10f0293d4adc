package kafka

import "encoding/binary"

// record is one record of a block, its bytes part of the block. Its headers are not read: nothing needs them.
type record struct {
	timeDelta   int64
	offsetDelta int64
	key, value  []byte // nil where the record has none
}

// parseRecord reads the record at the front of data and returns what follows: length, attributes 1, timestamp delta,
// offset delta, key, value, headers; numbers are zigzag varints, a length of -1 means none.
func parseRecord(data []byte, r *record) (rest []byte, ok bool) {
	size, n := varint(data)
	if n <= 0 || size < 1 || size > int64(len(data)-n) {
		return nil, false
	}
	rest = data[n+int(size):]
	body := data[n : n+int(size)]
	at := 1 // attributes: unused
	if r.timeDelta, n = varint(body[at:]); n <= 0 {
		return nil, false
	}
	at += n
	if r.offsetDelta, n = varint(body[at:]); n <= 0 {
		return nil, false
	}
	at += n
	if r.key, at, ok = parseBytes(body, at); !ok {
		return nil, false
	}
	if r.value, _, ok = parseBytes(body, at); !ok {
		return nil, false
	}
	return rest, true
}

func parseBytes(body []byte, at int) (b []byte, next int, ok bool) {
	size, n := varint(body[at:])
	if n <= 0 {
		return nil, 0, false
	}
	at += n
	if size < 0 {
		return nil, at, true
	}
	if size > int64(len(body)-at) {
		return nil, 0, false
	}
	next = at + int(size)
	return body[at:next:next], next, true
}

// varint is binary.Varint with a short way for one and two bytes, which is what nearly all of a record's numbers have.
func varint(b []byte) (v int64, n int) {
	if len(b) > 1 {
		if b[0] < 0x80 {
			return unzigzag(uint64(b[0])), 1
		}
		if b[1] < 0x80 {
			return unzigzag(uint64(b[0]&0x7f) | uint64(b[1])<<7), 2
		}
	}
	return binary.Varint(b)
}

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
