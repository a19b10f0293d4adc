package columnfile

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tidewatch/tidewatch/stream"
)

// The columns that the sinks add. Their names begin with an underscore, which no schema uses, but for the event time and
// the window's.
const (
	ColumnTime        = "time"
	ColumnPartition   = "_partition"
	ColumnOffset      = "_offset"
	ColumnTimestamp   = "_timestamp"
	ColumnBytes       = "_bytes"
	ColumnProducer    = "_producer"
	ColumnWindowStart = "window_start"
	ColumnWindowEnd   = "window_end"
	ColumnRevision    = "revision"
	ColumnProvisional = "provisional"
	ColumnSlot        = "_slot"
	ColumnStep        = "_step"
	ColumnKind        = "kind"
	ColumnMark        = "mark"
)

// The formats of the files' content.
const (
	RawFormat     = "raw/2"
	ControlFormat = "controls/1"
	RollupFormat  = "rollups/1"
)

// olderRaw is read, too: its rows are sorted by time throughout, and _producer, where it is there, has no nulls.
const olderRaw = "raw/1"

const metaPrefix = "tidewatch."

// RawMeta is the metadata of a raw file. All files of a part have the same.
type RawMeta struct {
	Partition   stream.Partition
	First, Last int64 // offsets of the part's first and last row
	Rows        int64 // of the part
	Files       int   // of the part
}

// KeyValues is the metadata as a file holds it.
func (m RawMeta) KeyValues() []KeyValue {
	return append(partitionMeta(RawFormat, m.Partition),
		KeyValue{metaPrefix + "first", strconv.FormatInt(m.First, 10)},
		KeyValue{metaPrefix + "last", strconv.FormatInt(m.Last, 10)},
		KeyValue{metaPrefix + "rows", strconv.FormatInt(m.Rows, 10)},
		KeyValue{metaPrefix + "files", strconv.Itoa(m.Files)})
}

func partitionMeta(format string, p stream.Partition) []KeyValue {
	return []KeyValue{
		{metaPrefix + "format", format},
		{metaPrefix + "topic", p.Topic},
		{metaPrefix + "incarnation", p.Incarnation},
		{metaPrefix + "partition", strconv.FormatInt(int64(p.Number), 10)},
	}
}

// ReadRawMeta reads the metadata of a raw file.
func ReadRawMeta(f *File) (m RawMeta, err error) {
	r := metaReader{file: f}
	r.format(RawFormat, olderRaw)
	m.Partition = r.partition()
	m.First, m.Last, m.Rows, m.Files = r.number("first"), r.number("last"), r.number("rows"), int(r.number("files"))
	if r.err == nil && (m.First < 0 || m.Last < m.First || m.Rows < 1 || m.Rows > m.Last-m.First+1 || m.Files < 1) {
		r.err = fmt.Errorf("read metadata: %d rows in %d files from offset %d to %d cannot be", m.Rows, m.Files, m.First, m.Last)
	}
	return m, r.err
}

// RollupMeta is the metadata of a file of rollups.
type RollupMeta struct {
	RollupName
	Incarnation string
	SlotEnd     stream.Time
}

// KeyValues is the metadata as a file holds it.
func (m RollupMeta) KeyValues() []KeyValue {
	p := stream.Partition{Topic: m.Topic, Number: m.Partition, Incarnation: m.Incarnation}
	kvs := append(partitionMeta(RollupFormat, p),
		KeyValue{metaPrefix + "pipeline", m.Pipeline},
		KeyValue{metaPrefix + "output", m.Output},
		KeyValue{metaPrefix + "instance", m.Instance},
		KeyValue{metaPrefix + "slot_start", strconv.FormatInt(int64(m.Slot), 10)},
		KeyValue{metaPrefix + "slot_end", strconv.FormatInt(int64(m.SlotEnd), 10)},
		KeyValue{metaPrefix + "fragment", strconv.Itoa(m.Fragment)})
	if m.Provisional {
		kvs = append(kvs, KeyValue{metaPrefix + "provisional", "true"})
	}
	return kvs
}

// ReadRollupMeta reads the metadata of a file of rollups.
func ReadRollupMeta(f *File) (m RollupMeta, err error) {
	r := metaReader{file: f}
	r.format(RollupFormat)
	p := r.partition()
	m.Topic, m.Partition, m.Incarnation = p.Topic, p.Number, p.Incarnation
	m.Pipeline, m.Output, m.Instance = r.text("pipeline"), r.text("output"), r.text("instance")
	m.Slot, m.SlotEnd, m.Fragment = stream.Time(r.number("slot_start")), stream.Time(r.number("slot_end")), int(r.number("fragment"))
	_, m.Provisional = f.Meta(metaPrefix + "provisional")
	return m, r.err
}

// metaReader keeps the first error.
type metaReader struct {
	file *File
	err  error
}

func (r *metaReader) text(key string) string {
	v, ok := r.file.Meta(metaPrefix + key)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("read metadata: there is no %s%s; tidewatch did not write this file, or another tool dropped it", metaPrefix, key)
	}
	return v
}

func (r *metaReader) number(key string) int64 {
	v, err := strconv.ParseInt(r.text(key), 10, 64)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("read metadata %s%s: %w", metaPrefix, key, err)
	}
	return v
}

func (r *metaReader) format(known ...string) {
	if got := r.text("format"); !slices.Contains(known, got) && r.err == nil {
		r.err = fmt.Errorf("read metadata: the format is %q, this version knows %q", got, known)
	}
}

func (r *metaReader) partition() stream.Partition {
	return stream.Partition{Topic: r.text("topic"), Number: int32(r.number("partition")), Incarnation: r.text("incarnation")}
}

// SameMeta reports whether two files say the same about themselves: then they hold the same rows, even if another version
// of the program compressed them otherwise.
func SameMeta(a, b *File) bool {
	return metaText(a) == metaText(b) && a.Rows() == b.Rows()
}

func metaText(f *File) string {
	return fmt.Sprint(f.file.Metadata().KeyValueMetadata)
}
