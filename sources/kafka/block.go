package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// block is a record batch of the log: its header, and its records as they were sent (perhaps compressed). It is never
// changed, so any number of readers may look at it.
//
// Layout of the header, format 2, big endian (Kafka documentation, "Message Format"): base offset 8, length 4, leader
// epoch 4, magic 1, CRC-32C 4 (of all that follows), attributes 2, last offset delta 4, first timestamp 8, maximum timestamp
// 8, producer id 8, producer epoch 2, base sequence 4, number of records 4, records.
type block struct {
	base, next    int64 // offsets covered: [base, next), also where compaction has removed records
	first, latest int64 // timestamps in ms
	producer      int64
	epoch         int32 // of the leader that wrote it
	count         int32
	attributes    uint16
	records       []byte
}

const (
	headerBytes = 61
	beforeCRC   = 21 // bytes of the header in front of what the checksum covers

	codecBits     = 0x07
	appendTimeBit = 0x08
	transactional = 0x10
	control       = 0x20
)

// The reasons for which a block is refused.
var (
	errChecksum = errors.New("its checksum differs")
	errDamaged  = errors.New("it is damaged")
	errFormat   = errors.New("its message format is older than Kafka 0.11; copy the topic with a current producer")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (b *block) codec() uint16         { return b.attributes & codecBits }
func (b *block) isControl() bool       { return b.attributes&control != 0 }
func (b *block) isTransactional() bool { return b.attributes&transactional != 0 }
func (b *block) hasAppendTime() bool   { return b.attributes&appendTimeBit != 0 }

// parseBlock reads the block at the front of data into b and returns what follows. A block that data holds only in part is
// ok = false: brokers cut the last one of an answer anywhere.
func parseBlock(data []byte, b *block) (rest []byte, ok bool, err error) {
	if len(data) < beforeCRC {
		return nil, false, nil
	}
	base := int64(binary.BigEndian.Uint64(data))
	if magic := data[16]; magic != 2 {
		return nil, false, fmt.Errorf("read block at offset %d: %w (format %d)", base, errFormat, magic)
	}
	size := int64(int32(binary.BigEndian.Uint32(data[8:]))) + 12
	if size < headerBytes {
		return nil, false, fmt.Errorf("read block at offset %d: %w: length %d", base, errDamaged, size)
	}
	if size > int64(len(data)) {
		return nil, false, nil
	}
	raw := data[:size:size]
	if crc32.Checksum(raw[beforeCRC:], castagnoli) != binary.BigEndian.Uint32(raw[17:]) {
		return nil, false, fmt.Errorf("read block at offset %d: %w", base, errChecksum)
	}
	*b = block{
		base: base, next: base + int64(int32(binary.BigEndian.Uint32(raw[23:]))) + 1,
		epoch:      int32(binary.BigEndian.Uint32(raw[12:])),
		attributes: binary.BigEndian.Uint16(raw[21:]),
		first:      int64(binary.BigEndian.Uint64(raw[27:])), latest: int64(binary.BigEndian.Uint64(raw[35:])),
		producer: int64(binary.BigEndian.Uint64(raw[43:])),
		count:    int32(binary.BigEndian.Uint32(raw[57:])),
		records:  raw[headerBytes:],
	}
	if b.base < 0 || b.next <= b.base || b.count < 0 {
		return nil, false, fmt.Errorf("read block at offset %d: %w: %d records up to offset %d", base, errDamaged, b.count, b.next)
	}
	return data[size:], true, nil
}

// aborts says whether the control block ends its transaction without success. A marker's key is version 2, type 2.
func (b *block) aborts() bool {
	var r record
	if _, ok := parseRecord(b.records, &r); !ok || len(r.key) < 4 {
		return false
	}
	return binary.BigEndian.Uint16(r.key[2:]) == 0
}
