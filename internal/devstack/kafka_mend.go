package devstack

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The broker loads a partition quickly, one file at a time, if it finds the snapshot that it writes when it is closed. After
// a kill there is none, and then it reads all files of all partitions into memory at once: 1.8 GB for a folder of 1.7 GB,
// measured. So after a kill mend writes these snapshots, from the headers of the batches alone. It also makes the snapshot
// of a partition without a file count, which the broker overlooks: its offsets would begin again at 0.
//
// The format is that of the pinned version of kfake; a folder of another format is left as it is, as are partitions with
// transactions, whose state only the broker can rebuild.
const mendFormat = 1

// partitionSnapshot is the file snapshot.json of a partition.
type partitionSnapshot struct {
	Version          int               `json:"version"`
	HighWatermark    int64             `json:"high_watermark"`
	LastStableOffset int64             `json:"last_stable_offset"`
	LogStartOffset   int64             `json:"log_start_offset"`
	Epoch            int32             `json:"epoch"`
	LeaderNode       int32             `json:"leader_node,omitempty"`
	MaxTimestamp     int64             `json:"max_timestamp"`
	CreatedAt        time.Time         `json:"created_at"`
	AbortedTxns      json.RawMessage   `json:"aborted_txns,omitempty"`
	Segments         []snapshotSegment `json:"segments"`
}

// snapshotSegment is a file in it.
type snapshotSegment struct {
	BaseOffset int64 `json:"base_offset"`
	Size       int64 `json:"size"`
	MinEpoch   int32 `json:"min_epoch,omitempty"`
	MaxEpoch   int32 `json:"max_epoch,omitempty"`
}

// mend prepares the broker's folder for loading and answers how many bytes of records are in it.
func mend(dir string, log *slog.Logger) (int64, error) {
	all, err := partitions(dir)
	if err != nil {
		return 0, err
	}
	known, err := knownFormat(dir)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, p := range all {
		segments, err := p.segments()
		if err != nil {
			return 0, err
		}
		total += size(segments)
		if !known {
			continue
		}
		if err := p.mend(segments); err != nil {
			return 0, fmt.Errorf("prepare partition %d of topic %s of the embedded Kafka: %w", p.number, p.topic, err)
		}
	}
	log.Debug("embedded Kafka: folder read", "partitions", len(all), "bytes", total)
	return total, nil
}

// knownFormat reads the version of the broker's folder. One without it is new.
func knownFormat(dir string) (bool, error) {
	var meta struct {
		Version int `json:"version"`
	}
	found, err := readJSON(filepath.Join(dir, "meta.json"), &meta)
	return found && meta.Version == mendFormat, err
}

func readJSON(path string, into any) (found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return false, fmt.Errorf("read the broker's %s: %w", filepath.Base(path), err)
	}
	return true, nil
}

// mend writes the snapshot of a partition unless it has a good one.
func (p partition) mend(segments []segment) error {
	var old partitionSnapshot
	path := filepath.Join(p.dir, "snapshot.json")
	found, err := readJSON(path, &old)
	if err != nil {
		return err
	}
	switch {
	case found && old.Version != mendFormat, found && old.matches(segments) && len(segments) > 0:
		return nil
	case size(segments) == 0:
		return p.mendEmpty(path, old, segments)
	}
	fresh, err := p.scan(segments)
	if err != nil || fresh == nil {
		return err
	}
	// What was deleted on request stays deleted; the broker itself would forget that.
	if old.LogStartOffset > fresh.LogStartOffset && old.LogStartOffset <= fresh.HighWatermark {
		fresh.LogStartOffset = old.LogStartOffset
	}
	return writeJSON(path, fresh)
}

func (s partitionSnapshot) matches(segments []segment) bool {
	return slices.EqualFunc(s.Segments, segments, func(a snapshotSegment, b segment) bool { return a.BaseOffset == b.base && a.Size == b.size })
}

// mendEmpty keeps the offsets of a partition from which everything was deleted: an empty file makes its snapshot count.
func (p partition) mendEmpty(path string, old partitionSnapshot, files []segment) error {
	if len(files) > 0 { // the name of a file is the offset at which it was begun
		old.HighWatermark = max(old.HighWatermark, files[len(files)-1].base)
	}
	if old.HighWatermark == 0 {
		return nil
	}
	if len(files) == 0 {
		files = []segment{{base: old.HighWatermark}}
		if err := os.WriteFile(p.file(files[0]), nil, 0o600); err != nil {
			return err
		}
	}
	old.Version, old.Segments, old.AbortedTxns = mendFormat, nil, nil
	old.LogStartOffset, old.LastStableOffset = old.HighWatermark, old.HighWatermark
	for _, f := range files {
		old.Segments = append(old.Segments, snapshotSegment{BaseOffset: f.base})
	}
	return writeJSON(path, old)
}

func size(segments []segment) int64 {
	var total int64
	for _, s := range segments {
		total += s.size
	}
	return total
}

// scan reads the headers of all batches. It answers nil if the broker has to look for itself.
func (p partition) scan(segments []segment) (*partitionSnapshot, error) {
	snapshot := &partitionSnapshot{Version: mendFormat, LogStartOffset: -1}
	for i, s := range segments {
		n, ok, err := p.scanSegment(s, snapshot)
		last := i == len(segments)-1
		if err != nil || !ok || n < s.size && !last {
			return nil, err
		}
		if n < s.size { // the kill came in the middle of a batch, which was never acknowledged
			if err := os.Truncate(p.file(s), n); err != nil {
				return nil, err
			}
		}
		snapshot.Segments = append(snapshot.Segments, snapshotSegment{BaseOffset: s.base, Size: n})
	}
	if snapshot.LogStartOffset < 0 {
		return nil, nil //nolint:nilnil // not one whole batch: nothing to load
	}
	snapshot.LastStableOffset = snapshot.HighWatermark
	return snapshot, nil
}

// scanSegment follows the batches of a file and adds them to the snapshot. It answers the length of the whole ones, and not
// ok if one belongs to a transaction or is none.
func (p partition) scanSegment(s segment, to *partitionSnapshot) (n int64, ok bool, err error) {
	f, err := os.Open(p.file(s))
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	var raw [batchHeaderBytes]byte
	for {
		if _, err := f.ReadAt(raw[:], n); errors.Is(err, io.EOF) {
			return n, true, nil
		} else if err != nil {
			return 0, false, err
		}
		h := parseBatchHeader(raw)
		if !h.plain() || h.first < to.HighWatermark || n == 0 && h.first != s.base {
			return 0, false, nil
		}
		if n+h.length > s.size {
			return n, true, nil
		}
		n += h.length
		to.add(h)
	}
}

func (s *partitionSnapshot) add(h batchHeader) {
	if s.LogStartOffset < 0 {
		s.LogStartOffset, s.CreatedAt = h.first, time.UnixMilli(h.firstTimestamp)
	}
	s.HighWatermark = h.last + 1
	s.MaxTimestamp = max(s.MaxTimestamp, h.maxTimestamp)
}

// batchHeaderBytes is the length of the fixed part of a record batch (Kafka protocol, message format version 2).
const batchHeaderBytes = 61

// batchHeader is what mend needs of it.
type batchHeader struct {
	first, last    int64 // offsets
	length         int64 // of the whole batch
	epoch          int32
	magic          byte
	transactional  bool // or a marker that ends a transaction
	firstTimestamp int64
	maxTimestamp   int64
}

// plain reports whether it can be the header of a batch outside of transactions, of a broker that never had another leader.
func (h batchHeader) plain() bool {
	return h.length >= batchHeaderBytes && h.magic == 2 && !h.transactional && h.last >= h.first && h.epoch == 0
}

func parseBatchHeader(raw [batchHeaderBytes]byte) batchHeader {
	be := binary.BigEndian
	first := int64(be.Uint64(raw[0:]))
	return batchHeader{
		first:          first,
		length:         12 + int64(int32(be.Uint32(raw[8:]))),
		epoch:          int32(be.Uint32(raw[12:])),
		magic:          raw[16],
		transactional:  be.Uint16(raw[21:])&0x30 != 0,
		last:           first + int64(int32(be.Uint32(raw[23:]))),
		firstTimestamp: int64(be.Uint64(raw[27:])),
		maxTimestamp:   int64(be.Uint64(raw[35:])),
	}
}

// writeJSON replaces a file in one step.
func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "*.tmp") // the broker removes what is left of these
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
