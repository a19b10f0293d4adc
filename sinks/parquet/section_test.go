package parquet

import (
	"encoding/binary"
	"hash/crc32"
)

// section is a snapshot whose one section has the given body and a right checksum.
func section(body []byte) []byte {
	s := append([]byte("TWS1"), byte(len(stateSection)))
	s = append(append(s, stateSection...), stateVersion)
	s = append(binary.AppendUvarint(s, uint64(len(body))), body...)
	return binary.LittleEndian.AppendUint32(s, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}
