package streamtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
)

// Text renders the values of row i, for content that tests compare.
func Text(b *stream.Batch, i int) string {
	parts := make([]string, len(b.Cols))
	for c := range b.Cols {
		parts[c] = fmt.Sprint(b.Cols[c].Value(i))
	}
	return strings.Join(parts, " ")
}

// LiveSink is a fake of a versioned receiver, such as the Redis rollups: a value for each row, whose key is the window and
// the first keys columns. The newest version stays. Writes that fail are kept and repeated by the next one, or by Stage's work.
type LiveSink struct {
	l       *Life
	name    string
	keys    int
	mu      sync.Mutex
	pending map[string]LiveValue
}

// LiveSink returns the life's receiver; the first keys columns name the row.
func (l *Life) LiveSink(keys int) *LiveSink {
	return &LiveSink{l: l, keys: keys, pending: map[string]LiveValue{}}
}

// NamedLiveSink is a LiveSink whose keys begin with the name.
func (l *Life) NamedLiveSink(name string, keys int) *LiveSink {
	s := l.LiveSink(keys)
	s.name = name + "|"
	return s
}

// Write implements stream.Sink.
func (s *LiveSink) Write(_ context.Context, b *stream.Batch) error {
	s.mu.Lock()
	for i := range b.Len() {
		key := fmt.Sprintf("%s%s|%s", s.name, b.Window.Start, strings.Join(strings.Split(Text(b, i), " ")[:s.keys], " "))
		s.pending[key] = LiveValue{b.Version, Text(b, i)}
	}
	s.mu.Unlock()
	if err := s.flush(); err != nil && stream.KindOfError(err) != stream.Retry {
		return err
	}
	return nil
}

// flush holds no lock while it calls: a paused life must not block its other goroutines.
func (s *LiveSink) flush() error {
	s.mu.Lock()
	sent := maps.Clone(s.pending)
	s.mu.Unlock()
	err := s.l.call("write live", func() error {
		w := s.l.W
		w.mu.Lock()
		defer w.mu.Unlock()
		for k, v := range sent {
			if old, ok := w.mu.live[k]; !ok || v.Version.Compare(old.Version) > 0 {
				w.mu.live[k] = v
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.pending, func(k string, v LiveValue) bool { return sent[k] == v })
	return nil
}

// Refresh implements stream.RefreshingSink.
func (s *LiveSink) Refresh(stream.Time) stream.Work {
	return func(context.Context) (stream.Receipt, error) { return nil, s.flush() }
}

// Stage implements stream.Sink: only a snapshot waits for what has left.
func (s *LiveSink) Stage(e stream.Epoch) stream.Work {
	if !e.Snapshot {
		return nil
	}
	return func(context.Context) (stream.Receipt, error) { return nil, s.flush() }
}

// Reveal implements stream.Sink; there is never a receipt.
func (s *LiveSink) Reveal(context.Context, stream.Receipt) error { return nil }

// Close implements stream.Sink.
func (s *LiveSink) Close() error { return nil }

// FileSink is a fake of a sink of final rows. Rows of a window arrive in one crossing, so an epoch that holds a window
// holds it whole.
type FileSink struct {
	l     *Life
	name  string
	byRow bool
	files map[string]*strings.Builder // by the rest of the visible name
}

// FileSink returns the life's file sink with one object a window: visible objects are called name/window.
func (l *Life) FileSink(name string) *FileSink {
	return &FileSink{l: l, name: name, files: map[string]*strings.Builder{}}
}

// RowFileSink is a FileSink with an object for each row, called name/window/first column: for stages whose tasks share
// windows.
func (l *Life) RowFileSink(name string) *FileSink {
	s := l.FileSink(name)
	s.byRow = true
	return s
}

type fileReceipt map[string]string // staged key to visible key

// Write implements stream.Sink.
func (s *FileSink) Write(_ context.Context, b *stream.Batch) error {
	for i := range b.Len() {
		if s.byRow {
			s.file(fmt.Sprint(b.Window.Start, "/", b.Cols[0].Value(i))).WriteString(Text(b, i))
			continue
		}
		fmt.Fprintf(s.file(b.Window.Start.String()), "%s %v\n", Text(b, i), b.Provisional)
	}
	return nil
}

func (s *FileSink) file(name string) *strings.Builder {
	f := s.files[name]
	if f == nil {
		f = &strings.Builder{}
		s.files[name] = f
	}
	return f
}

// Stage implements stream.Sink.
func (s *FileSink) Stage(e stream.Epoch) stream.Work {
	if len(s.files) == 0 {
		return nil
	}
	files := s.files
	s.files = map[string]*strings.Builder{}
	return func(ctx context.Context) (stream.Receipt, error) {
		receipt := fileReceipt{}
		for name, text := range files {
			staged := e.Prefix + s.name + "/" + name
			if err := s.l.Objects().Put(ctx, staged, []byte(text.String())); err != nil {
				return nil, err
			}
			receipt[staged] = s.name + "/" + name
		}
		return json.Marshal(receipt)
	}
}

// Reveal implements stream.Sink.
func (s *FileSink) Reveal(ctx context.Context, receipt stream.Receipt) error {
	files := fileReceipt{}
	if err := json.Unmarshal(receipt, &files); err != nil {
		return err
	}
	for from, to := range files {
		if err := s.l.Objects().Copy(ctx, from, to); err != nil {
			return err
		}
	}
	return nil
}

// Close implements stream.Sink.
func (s *FileSink) Close() error { return nil }

// DeadLetters is a fake of the dead-letter output of a life: a live value for each record.
type DeadLetters struct{ l *Life }

// DeadLetters returns the life's dead letters.
func (l *Life) DeadLetters() DeadLetters { return DeadLetters{l} }

// Write notes the records under "dead|offset".
func (d DeadLetters) Write(_ context.Context, dead []stream.Rejected) error {
	return d.l.call("dead letter", func() error {
		d.l.W.mu.Lock()
		defer d.l.W.mu.Unlock()
		for _, r := range dead {
			d.l.W.mu.live[fmt.Sprintf("dead|%d", r.Offset)] = LiveValue{Content: r.Reason}
		}
		return nil
	})
}

// Flush has nothing to wait for.
func (d DeadLetters) Flush(context.Context) error { return nil }

// Close does nothing.
func (d DeadLetters) Close() error { return nil }
