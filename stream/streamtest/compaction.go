package streamtest

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/tidewatch/tidewatch/stream"
)

// Compact takes the values of records of a log, as a broker does that compacts: those that gone chooses among the offsets below
// everything that a recovery may read again. It returns how many that were.
func (w *World) Compact(id LogID, gone func(offset int64) bool) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := slices.Clone(w.mu.logs[id]) // somebody may be reading
	for offset := range min(w.needed(id), int64(len(log))) {
		if log[offset].Value != nil && gone(offset) {
			log[offset].Value = nil
			n++
		}
	}
	w.mu.logs[id] = log
	return n
}

// needed is the lowest offset of the log that a snapshot still goes on from, also one that a fail-over would bring back. It must be
// called with the lock held.
func (w *World) needed(id LogID) int64 {
	low := oldestSnapshot(id, w.mu.rows)
	for i := range w.mu.past {
		low = min(low, oldestSnapshot(id, w.mu.past[i].rows))
	}
	return low
}

func oldestSnapshot(id LogID, rows map[string]*stream.Checkpoint) int64 {
	low := int64(math.MaxInt64)
	for _, row := range rows {
		if row.Task.Partition.Topic != id.Topic || row.Task.Partition.Number != id.Partition {
			continue
		}
		var rec stream.Record
		if row.Epoch == 0 || json.Unmarshal(row.Record, &rec) != nil {
			return 0
		}
		low = min(low, rec.Snapshot.At.Offset)
		if rec.Previous != nil {
			low = min(low, rec.Previous.At.Offset)
		}
	}
	if low == math.MaxInt64 {
		return 0 // nobody has begun
	}
	return low
}
