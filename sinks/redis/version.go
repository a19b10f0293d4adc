package redis

import (
	"encoding/binary"

	"github.com/tidewatch/tidewatch/stream"
)

// versionSize is the length of a version before a block: eight bytes of offset and four of step, both big-endian, so that
// the order of bytes is the order of versions.
const versionSize = 12

func appendVersion(dst []byte, v stream.Version) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(v.Offset))
	return binary.BigEndian.AppendUint32(dst, v.Step)
}

// versionOf reads the version before a block of at least versionSize bytes.
func versionOf(b []byte) stream.Version {
	return stream.Version{
		Offset: int64(binary.BigEndian.Uint64(b)),
		Step:   binary.BigEndian.Uint32(b[8:]),
	}
}
