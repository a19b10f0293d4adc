package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pierrec/lz4/v4"
)

// errUnusualFrame says that the frame uses what the quick way does not know.
var errUnusualFrame = errors.New("unusual LZ4 frame")

const (
	frameMagic      = 0x184D2204
	flagVersion     = 0x40
	flagVersionMask = 0xC0
	flagIndependent = 0x20
	flagBlockSums   = 0x10
	flagSize        = 0x08
	flagContentSum  = 0x04
	flagDictionary  = 0x01
	storedBit       = 1 << 31
)

// inflateLZ4 decodes a frame of independent blocks (LZ4 Frame Format 1.6) straight into dst. It skips the frame's own
// checksums, because the block's CRC has covered the same bytes; that and the missing intermediate buffer make it twice as
// fast as a general reader.
func inflateLZ4(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != frameMagic {
		return nil, errUnusualFrame
	}
	flags, size := src[4], int(src[5]>>4&7)
	if flags&flagVersionMask != flagVersion || flags&flagIndependent == 0 || flags&flagDictionary != 0 || size < 4 {
		return nil, errUnusualFrame
	}
	maxBlock := 1 << (8 + 2*size)
	src = src[6:]
	if flags&flagSize != 0 {
		src = src[min(8, len(src)):]
	}
	src = src[min(1, len(src)):] // header checksum
	for {
		if len(src) < 4 {
			return nil, fmt.Errorf("%w: the frame has no end", errDamaged)
		}
		head := binary.LittleEndian.Uint32(src)
		src = src[4:]
		if head == 0 {
			return endLZ4(dst, src, flags)
		}
		n := int(head &^ storedBit)
		if n > len(src) || n > maxBlock {
			return nil, fmt.Errorf("%w: a block of %d bytes", errDamaged, n)
		}
		if len(dst) > limit {
			return nil, errTooLarge
		}
		var err error
		if dst, err = appendLZ4(dst, src[:n], head&storedBit != 0, maxBlock); err != nil {
			return nil, err
		}
		src = src[n:]
		if flags&flagBlockSums != 0 {
			src = src[min(4, len(src)):]
		}
	}
}

// endLZ4 looks for a second frame behind the first: those are left to the library.
func endLZ4(dst, src []byte, flags byte) ([]byte, error) {
	if flags&flagContentSum != 0 {
		src = src[min(4, len(src)):]
	}
	if len(src) > 0 {
		return nil, errUnusualFrame
	}
	return dst, nil
}

// appendLZ4 decodes one block. Clients declare blocks of up to 4 MiB and send a few kilobytes, and every reader has a buffer of
// its own, so the room that a block may take is given only as it turns out to be needed: eight times its size first, which
// most events fit into.
func appendLZ4(dst, src []byte, stored bool, maxBlock int) ([]byte, error) {
	if stored {
		return append(dst, src...), nil
	}
	at := len(dst)
	for room := max(cap(dst)-at, 8*len(src)); ; room *= 2 {
		room = min(room, maxBlock)
		if cap(dst)-at < room {
			grown := make([]byte, at, at+room)
			copy(grown, dst)
			dst = grown
		}
		n, err := lz4.UncompressBlock(src, dst[at:at+room])
		if err == nil {
			return dst[:at+n], nil
		}
		if room == maxBlock { // a damaged block and a short buffer are the same error to the library
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
}
