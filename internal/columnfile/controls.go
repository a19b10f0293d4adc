package columnfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// ControlName is the name of a file of control records: those that one task has claimed in a slot of its progress.
type ControlName struct {
	Topic     string
	Instance  string
	Stage     string
	Partition int32
	Hour      stream.Time
	// First and Last are the steps of the first and the last one. A task numbers its control records from 1 on, so a missing
	// file shows.
	First, Last uint32
}

// Key is the visible key.
func (n ControlName) Key() string {
	return fmt.Sprintf("%sinstance=%s/%s%d-%s-%010d-%010d%s", ControlPrefix(n.Topic), escape(n.Instance), hourFolders(n.Hour), n.Partition,
		escape(n.Stage), n.First, n.Last, extension)
}

// ControlPrefix begins the keys of the control records of all tasks that read the topic.
func ControlPrefix(topic string) string { return ControlRoot + "topic=" + escape(topic) + "/" }

// ParseControlName reads a key; ok is false if it is not that of a file of control records.
func ParseControlName(key string) (n ControlName, ok bool) {
	const step, digits = "0000000000", 10
	rest, found := strings.CutPrefix(key, ControlRoot+"topic=")
	parts := strings.Split(rest, "/")
	if !found || len(parts) != 5 {
		return n, false
	}
	topic, terr := unescape(parts[0])
	instance, ierr := unescape(strings.TrimPrefix(parts[1], "instance="))
	hour, dated := parseHour(parts[2], parts[3])
	file, named := strings.CutSuffix(parts[4], extension)
	number, file, split := strings.Cut(file, "-")
	tail := len(file) - len("-"+step+"-"+step)
	if terr != nil || ierr != nil || !dated || !named || !split || tail < 0 {
		return n, false
	}
	p, perr := strconv.ParseInt(number, 10, 32)
	stage, serr := unescape(file[:tail])
	first, ferr := strconv.ParseUint(file[tail+1:tail+1+digits], 10, 32)
	last, lerr := strconv.ParseUint(file[len(file)-digits:], 10, 32)
	n = ControlName{Topic: topic, Instance: instance, Stage: stage, Partition: int32(p), Hour: hour, First: uint32(first), Last: uint32(last)}
	if perr != nil || serr != nil || ferr != nil || lerr != nil || last < first || n.Key() != key {
		return ControlName{}, false
	}
	return n, true
}

// ControlMeta is the metadata of a file of control records.
type ControlMeta struct {
	ControlName
	Incarnation string
}

// KeyValues is the metadata as a file holds it.
func (m ControlMeta) KeyValues() []KeyValue {
	p := stream.Partition{Topic: m.Topic, Number: m.Partition, Incarnation: m.Incarnation}
	return append(partitionMeta(ControlFormat, p),
		KeyValue{metaPrefix + "instance", m.Instance},
		KeyValue{metaPrefix + "stage", m.Stage},
		KeyValue{metaPrefix + "hour", strconv.FormatInt(int64(m.Hour), 10)},
		KeyValue{metaPrefix + "first", strconv.FormatInt(int64(m.First), 10)},
		KeyValue{metaPrefix + "last", strconv.FormatInt(int64(m.Last), 10)})
}

// EncodeControls makes a file of control records whose steps follow each other, and its metadata.
func EncodeControls(of ControlMeta, list []stream.Control) (ControlMeta, []byte, error) {
	of.First, of.Last = list[0].At.Step, list[len(list)-1].At.Step
	column := func(name string, kind stream.Kind) Column {
		return Column{Name: name, Required: true, Column: stream.Column{Kind: kind}}
	}
	offset, step := column(ColumnOffset, stream.Int), column(ColumnStep, stream.Int)
	kind, mark := column(ColumnKind, stream.String), column(ColumnMark, stream.Timestamp)
	kind.Dict = stream.NewDict()
	rows := make([]uint32, len(list))
	for i, c := range list {
		rows[i] = uint32(i)
		offset.AppendInt(c.At.Offset)
		step.AppendInt(int64(c.At.Step))
		kind.AppendString(c.Kind)
		mark.AppendInt(int64(c.Mark))
	}
	w, err := NewWriter()
	if err != nil {
		return of, nil, err
	}
	table := &Table{Columns: []Column{offset, step, kind, mark}, Meta: of.KeyValues(), SortedBy: []string{ColumnStep}}
	data, err := w.Encode(table, rows)
	return of, data, err
}

// ReadControls reads a file of control records.
func ReadControls(f *File) (m ControlMeta, list []stream.Control, err error) {
	r := metaReader{file: f}
	r.format(ControlFormat)
	p := r.partition()
	m.Topic, m.Partition, m.Incarnation = p.Topic, p.Number, p.Incarnation
	m.Instance, m.Stage, m.Hour = r.text("instance"), r.text("stage"), stream.Time(r.number("hour"))
	m.First, m.Last = uint32(r.number("first")), uint32(r.number("last"))
	if r.err == nil && f.Rows() != int64(m.Last)-int64(m.First)+1 {
		r.err = fmt.Errorf("read control records: %d of them cannot be those of steps %d to %d: %w", f.Rows(), m.First, m.Last, ErrDamaged)
	}
	if r.err != nil {
		return m, nil, r.err
	}
	var columns [4]stream.Column
	columns[2].Dict = stream.NewDict()
	var reader Reader
	for g := range f.Groups() {
		for i, c := range []struct {
			name string
			kind stream.Kind
		}{{ColumnOffset, stream.Int}, {ColumnStep, stream.Int}, {ColumnKind, stream.String}, {ColumnMark, stream.Timestamp}} {
			columns[i].Kind = c.kind
			if err := reader.Read(f, g, c.name, &columns[i]); err != nil {
				return m, nil, err
			}
		}
	}
	for i := range columns[0].Ints {
		at := stream.Version{Offset: columns[0].Ints[i], Step: uint32(columns[1].Ints[i])}
		list = append(list, stream.Control{Kind: columns[2].Text(i), At: at, Mark: stream.Time(columns[3].Ints[i])})
	}
	return m, list, checkControls(&m, list)
}

// checkControls compares the content with the name.
func checkControls(m *ControlMeta, list []stream.Control) error {
	ordered := slices.IsSortedFunc(list, func(a, b stream.Control) int { return a.At.Compare(b.At) })
	if !ordered || len(list) == 0 || list[0].At.Step != m.First || list[len(list)-1].At.Step != m.Last {
		return fmt.Errorf("read control records: they are not those of steps %d to %d: %w", m.First, m.Last, ErrDamaged)
	}
	return nil
}
