package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// recordFormat is that of the records that are written. Format 1, which is still read, had neither a checksum, nor slices, nor the
// snapshot before the newest.
const recordFormat = 2

// sumField is what follows the other fields of a record: the checksum of all that stands before it, of the task and of the epoch.
const sumField = `,"sum":"`

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeRecord makes the bytes of a row, for a claim of this epoch of the task.
func encodeRecord(task stream.TaskID, epoch int64, rec *stream.Record) ([]byte, error) {
	next := *rec
	next.Format, next.Sum = recordFormat, ""
	body, err := json.Marshal(&next)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	body = body[:len(body)-1] // the brace
	return fmt.Appendf(body, `%s%08x"}`, sumField, recordSum(task, epoch, body)), nil
}

func recordSum(task stream.TaskID, epoch int64, body []byte) uint32 {
	sum := crc32.Checksum(fmt.Appendf(nil, "%s %d ", task, epoch), castagnoli)
	return crc32.Update(sum, castagnoli, body)
}

// decodeRecord reads the record of a row; a row without claims has none.
func decodeRecord(cp *stream.Checkpoint) (*stream.Record, error) {
	rec := &stream.Record{Mark: stream.NoTime, RecordMark: stream.NoTime}
	if cp.Epoch == 0 {
		return rec, nil
	}
	broken := checkSum(cp)
	d := json.NewDecoder(strings.NewReader(string(cp.Record)))
	d.DisallowUnknownFields()
	err := d.Decode(rec)
	switch {
	case broken != nil && (err != nil || rec.Format != 1):
		return nil, fmt.Errorf("decode record of epoch %d: %w", cp.Epoch, broken)
	case err != nil:
		return nil, fmt.Errorf("decode record of epoch %d: %w; if a newer tidewatch wrote it, run that version", cp.Epoch, err)
	case rec.Format != 1 && rec.Format != recordFormat:
		return nil, fmt.Errorf("decode record of epoch %d: format %d, this version knows 1 and %d", cp.Epoch, rec.Format, recordFormat)
	}
	rec.Sum = ""
	rec.Snapshot.Slices = append(rec.Snapshot.Slices, whole(rec.Snapshot.Object, rec.Snapshot.Size, rec.Snapshot.Hash)...)
	rec.Snapshot.Object, rec.Snapshot.Hash = "", ""
	inherits(rec, func(i *stream.Inheritance) {
		i.Slices = append(i.Slices, whole(i.Object, 0, i.Hash)...)
		i.Object, i.Hash = "", ""
	})
	return rec, nil
}

// whole is the one object of a snapshot in format 1.
func whole(object string, size int64, hash string) []stream.Slice {
	if object == "" {
		return nil
	}
	return []stream.Slice{{Object: object, Size: size, Hash: hash}}
}

// inherits calls f with every inheritance that the record names.
func inherits(rec *stream.Record, f func(*stream.Inheritance)) {
	for i := range rec.Controls {
		if k := &rec.Controls[i]; k.Inherit != nil {
			f(k.Inherit)
		}
	}
	if rec.Control != nil && rec.Control.Inherit != nil {
		f(rec.Control.Inherit)
	}
}

// checkSum tells whether the row holds what was claimed.
func checkSum(cp *stream.Checkpoint) error {
	body, sum, ok := strings.Cut(string(cp.Record), sumField)
	if !ok {
		return errors.New("the row is damaged: it has no checksum")
	}
	if want := fmt.Sprintf(`%08x"}`, recordSum(cp.Task, cp.Epoch, []byte(body))); sum != want {
		return errors.New("the row is damaged: its checksum differs; restore it from a backup of PostgreSQL, or drop it to start again from the log's start")
	}
	return nil
}
