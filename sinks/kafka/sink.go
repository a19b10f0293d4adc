package kafka

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// Headers of every record that the product writes at least once; see the package comment.
const (
	HeaderTask   = "tidewatch.task"
	HeaderPhase  = "tidewatch.phase"
	HeaderOffset = "tidewatch.offset"
	HeaderStep   = "tidewatch.step"
	HeaderIndex  = "tidewatch.index"
)

// Sink writes the rows of an output to a topic as JSON, at least once. It implements stream.Sink.
type Sink struct {
	w      *Writer
	topic  string
	names  namer
	labels labels
	texts  rowTexts
	row    []byte // scratch
}

// NewSink returns the sink of one task.
func (c *Client) NewSink(task stream.TaskID, topic string) *Sink {
	return &Sink{w: c.NewWriter(), topic: topic, labels: newLabels([]byte(task.String()))}
}

// Write implements stream.Sink.
func (s *Sink) Write(ctx context.Context, b *stream.Batch) error {
	for i := range b.Len() {
		name := s.names.name(b, i)
		s.row = s.texts.append(s.row[:0], b, i)
		rec := Record{Topic: s.topic, Partition: -1, Value: bytes.Clone(s.row), Headers: s.labels.of(&name)}
		if err := s.w.Append(ctx, rec); err != nil {
			return err
		}
	}
	return nil
}

// rowName tells a row from all others of its task.
type rowName struct {
	phase stream.Phase
	at    stream.Version // of an event: its own offset
	index int64
}

// namer names the rows of one task. Rows of windows are numbered within the version at which they leave, events within their record, both for
// each phase by itself: so a row has the same numbers however the rows were cut into batches and wherever a replay began,
// which is between two records.
type namer struct {
	last [stream.Partial + 1]numbering // by phase
}

// numbering counts the rows of one phase at one version.
type numbering struct {
	at   stream.Version
	next int64
}

func (n *namer) name(b *stream.Batch, i int) rowName {
	at := b.At
	if isEvent(b) {
		at = stream.Version{Offset: b.Offset[i]}
	}
	last := &n.last[b.Phase]
	if last.at != at {
		*last = numbering{at: at}
	}
	last.next++
	return rowName{phase: b.Phase, at: at, index: last.next - 1}
}

// labels makes the headers of rows. Many rows are smaller than theirs, so they are made of larger pieces of memory, and rows
// of one version share what they can. It is used from one goroutine; what it has made is never changed.
type labels struct {
	task    []byte
	phases  [stream.Partial + 1][]byte
	headers []kgo.RecordHeader // not handed out yet
	text    []byte             // with room for numbers

	at           stream.Version // of the row before
	offset, step []byte
}

const (
	maxHeaders   = 5
	labelledRows = 256 // rows for which there is memory at a time
	numberBytes  = 20
)

func newLabels(task []byte) labels {
	l := labels{task: task}
	for p := range l.phases {
		l.phases[p] = []byte(stream.Phase(p).String())
	}
	return l
}

func (l *labels) of(n *rowName) []kgo.RecordHeader {
	if len(l.headers) < maxHeaders {
		l.headers = make([]kgo.RecordHeader, maxHeaders*labelledRows)
	}
	if l.offset == nil || l.at != n.at {
		l.at, l.offset, l.step = n.at, l.number(n.at.Offset), l.number(int64(n.at.Step))
	}
	h := l.headers[:maxHeaders:maxHeaders]
	l.headers = l.headers[maxHeaders:]
	h[0] = kgo.RecordHeader{Key: HeaderTask, Value: l.task}
	h[1] = kgo.RecordHeader{Key: HeaderPhase, Value: l.phases[n.phase]}
	h[2] = kgo.RecordHeader{Key: HeaderOffset, Value: l.offset}
	h[3] = kgo.RecordHeader{Key: HeaderStep, Value: l.step}
	if n.phase == stream.Live { // which windows are shown, and when, depends on the clock
		return h[:4:4]
	}
	h[4] = kgo.RecordHeader{Key: HeaderIndex, Value: l.number(n.index)}
	return h
}

func (l *labels) number(v int64) []byte {
	if cap(l.text)-len(l.text) < numberBytes {
		l.text = make([]byte, 0, numberBytes*labelledRows)
	}
	from := len(l.text)
	l.text = strconv.AppendInt(l.text, v, 10)
	return slices.Clip(l.text[from:])
}

// version is the one from which on the row is there.
func (n *rowName) version() stream.Version {
	if n.phase == stream.Event || n.phase == stream.Late {
		return stream.Version{Offset: n.at.Offset + 1}
	}
	return n.at
}

// isEvent says that the rows have event columns; the others belong to a window.
func isEvent(b *stream.Batch) bool { return b.Phase == stream.Event || b.Phase == stream.Late }

// rowTexts writes rows as JSON objects; a window's bounds come first.
type rowTexts struct {
	window stream.Window
	bounds []byte // of the window, as an object begins
}

func (t *rowTexts) append(dst []byte, b *stream.Batch, i int) []byte {
	if isEvent(b) {
		return schemas.AppendJSON(dst, b, i)
	}
	if len(t.bounds) == 0 || t.window != b.Window {
		t.window = b.Window
		t.bounds = append(b.Window.Start.Go().AppendFormat(append(t.bounds[:0], `{"time":"`...), time.RFC3339Nano), `","window_end":"`...)
		t.bounds = append(b.Window.End.Go().AppendFormat(t.bounds, time.RFC3339Nano), '"')
	}
	dst = append(dst, t.bounds...)
	at := len(dst)
	dst = schemas.AppendJSON(dst, b, i)
	if len(dst) == at+len("{}") {
		return append(dst[:at], '}')
	}
	dst[at] = ',' // goes on inside the object
	return dst
}

// Stage implements stream.Sink: rows are acknowledged before the epoch is claimed.
func (s *Sink) Stage(stream.Epoch) stream.Work {
	return func(ctx context.Context) (stream.Receipt, error) {
		if err := s.w.Flush(ctx); err != nil {
			return nil, fmt.Errorf("flush topic %s: %w", s.topic, err)
		}
		return nil, nil
	}
}

// Reveal implements stream.Sink; there is never a receipt.
func (s *Sink) Reveal(context.Context, stream.Receipt) error { return nil }

// Close implements stream.Sink.
func (s *Sink) Close() error { return s.w.Close() }
