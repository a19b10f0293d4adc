package columnfile

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// The folders of the visible trees.
const (
	RawRoot         = "raw/"
	ControlRoot     = "controls/"
	RollupRoot      = "rollups/"
	ProvisionalRoot = "provisional/"
)

const (
	extension  = ".parquet"
	dateLayout = "2006-01-02"
	slotLayout = "20060102T150405Z"
)

// RawName is the name of a file of the raw archive: the rows of one hour in one part of a partition.
type RawName struct {
	Topic       string
	Partition   int32
	First, Last int64 // offsets of the part's first and last row, whatever their hours
	Hour        stream.Time
}

// Key is the visible key. Keys of a topic sort by hour; those of an hour and partition by offset.
func (n RawName) Key() string {
	return fmt.Sprintf("%s%s%d-%020d-%020d%s", RawPrefix(n.Topic), hourFolders(n.Hour), n.Partition, n.First, n.Last, extension)
}

// RawPrefix begins the keys of a topic.
func RawPrefix(topic string) string { return RawRoot + "topic=" + escape(topic) + "/" }

// DatePrefix begins the keys of a day, after the prefix of a topic or an output.
func DatePrefix(day stream.Time) string { return "date=" + day.Go().Format(dateLayout) + "/" }

func hourFolders(hour stream.Time) string {
	return DatePrefix(hour) + fmt.Sprintf("hour=%02d/", hour.Go().Hour())
}

// escape keeps the values of folder names free of slashes, as readers of such trees expect it.
func escape(value string) string { return strings.ReplaceAll(url.PathEscape(value), "=", "%3D") }

func unescape(value string) (string, error) { return url.PathUnescape(value) }

// ParseRawName reads a key; ok is false if it is not that of a raw file.
func ParseRawName(key string) (n RawName, ok bool) {
	rest, found := strings.CutPrefix(key, RawRoot+"topic=")
	parts := strings.Split(rest, "/")
	if !found || len(parts) != 4 {
		return n, false
	}
	topic, err := unescape(parts[0])
	hour, dated := parseHour(parts[1], parts[2])
	file, named := strings.CutSuffix(parts[3], extension)
	numbers := strings.Split(file, "-")
	if err != nil || !dated || !named || len(numbers) != 3 {
		return n, false
	}
	p, perr := strconv.ParseInt(numbers[0], 10, 32)
	first, ferr := strconv.ParseInt(numbers[1], 10, 64)
	last, lerr := strconv.ParseInt(numbers[2], 10, 64)
	n = RawName{Topic: topic, Partition: int32(p), First: first, Last: last, Hour: hour}
	if perr != nil || ferr != nil || lerr != nil || first < 0 || last < first || n.Key() != key {
		return RawName{}, false
	}
	return n, true
}

func parseHour(date, hour string) (t stream.Time, ok bool) {
	h, err := time.Parse("date="+dateLayout+" hour=15", date+" "+hour)
	if err != nil || h.Year() < 1678 || h.Year() > 2261 {
		return 0, false
	}
	return stream.TimeOf(h), true
}

// RollupName is the name of a file of rollups: rows of windows that end in one slot of event time, from one task.
type RollupName struct {
	Pipeline, Output, Instance string
	Topic                      string
	Partition                  int32
	Slot                       stream.Time // begin
	Fragment                   int         // counts the files of a slot that has more rows than a file takes
	// Provisional files hold rows of windows that an idle tick has closed. They have a tree of their own: whoever reads the
	// final rows meets every window once.
	Provisional bool
}

// RollupPrefix begins the keys of an output's final rows.
func RollupPrefix(pipeline, output string) string {
	return RollupRoot + outputFolders(pipeline, output)
}

func outputFolders(pipeline, output string) string {
	return "pipeline=" + escape(pipeline) + "/output=" + escape(output) + "/"
}

// Key is the visible key.
func (n RollupName) Key() string {
	var b strings.Builder
	if n.Provisional {
		b.WriteString(ProvisionalRoot)
	} else {
		b.WriteString(RollupRoot)
	}
	b.WriteString(outputFolders(n.Pipeline, n.Output))
	b.WriteString(hourFolders(n.Slot))
	fmt.Fprintf(&b, "%s-%s-%d-%s", escape(n.Instance), escape(n.Topic), n.Partition, n.Slot.Go().Format(slotLayout))
	if n.Fragment > 0 {
		fmt.Fprintf(&b, "-%03d", n.Fragment)
	}
	b.WriteString(extension)
	return b.String()
}

// ParseRollupHour reads the hour and the file name out of the key of final rollups; ok is false if it is none. What else the name says is
// in the file's metadata.
func ParseRollupHour(key string) (hour stream.Time, file string, ok bool) {
	rest, found := strings.CutPrefix(key, RollupRoot+"pipeline=")
	parts := strings.Split(rest, "/")
	if !found || len(parts) != 5 || !strings.HasPrefix(parts[1], "output=") || !strings.HasSuffix(key, extension) {
		return 0, "", false
	}
	hour, ok = parseHour(parts[2], parts[3])
	return hour, parts[4], ok
}

// InstancePrefix begins the file names of an instance's rollups.
func InstancePrefix(instance string) string { return escape(instance) + "-" }
