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
func Text(b *stream.Batch, i int) string { return text(b, i, len(b.Cols)) }

// text renders the first columns.
func text(b *stream.Batch, i, columns int) string {
	parts := make([]string, columns)
	for c := range columns {
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
	slots   map[string]erasure // of pending rows that have one
	erased  map[erasure]stream.Version
	left    stream.Version // where the rows before left
}

// erasure names a slot of a window of a sink.
type erasure struct {
	sink  string
	start stream.Time
	slot  uint8
}

// LiveSink returns the life's receiver; the first keys columns name the row.
func (l *Life) LiveSink(keys int) *LiveSink {
	return &LiveSink{l: l, keys: keys, pending: map[string]LiveValue{}, slots: map[string]erasure{}, erased: map[erasure]stream.Version{}}
}

// NamedLiveSink is a LiveSink whose keys begin with the name.
func (l *Life) NamedLiveSink(name string, keys int) *LiveSink {
	s := l.LiveSink(keys)
	s.name = name + "|"
	return s
}

// OfGeneration makes the receiver keep the values apart from those of other generations: the keys of all but the first begin
// with the number and #.
func (s *LiveSink) OfGeneration(g int64) *LiveSink {
	if g > 0 {
		s.name = fmt.Sprint(g, "#", s.name)
	}
	return s
}

// Write implements stream.Sink.
func (s *LiveSink) Write(_ context.Context, b *stream.Batch) error {
	s.mu.Lock()
	if b.At.Compare(s.left) < 0 {
		defer s.mu.Unlock()
		return fmt.Errorf("rows that leave at %v come behind rows that left at %v", b.At, s.left)
	}
	s.left = b.At
	for i := range b.Len() {
		key := fmt.Sprintf("%s%s|%s", s.name, b.Window.Start, text(b, i, s.keys))
		s.pending[key] = LiveValue{b.Version, Text(b, i)}
		if len(b.Slot) > 0 {
			s.slots[key] = erasure{s.name, b.Window.Start, b.Slot[i]}
		}
	}
	s.mu.Unlock()
	return s.send()
}

// Erase implements stream.ErasingSink.
func (s *LiveSink) Erase(_ context.Context, w stream.Window, at stream.Version, slots []uint8) error {
	s.mu.Lock()
	for _, slot := range slots {
		s.erased[erasure{s.name, w.Start, slot}] = at
	}
	s.mu.Unlock()
	return s.send()
}

func (s *LiveSink) send() error {
	if err := s.flush(); err != nil && stream.KindOfError(err) != stream.Retry {
		return err
	}
	return nil
}

// flush holds no lock while it calls: a paused life must not block its other goroutines.
func (s *LiveSink) flush() error {
	s.mu.Lock()
	sent, slots, erased := maps.Clone(s.pending), maps.Clone(s.slots), maps.Clone(s.erased)
	s.mu.Unlock()
	err := s.l.call("write live", func() error {
		w := s.l.W
		w.mu.Lock()
		defer w.mu.Unlock()
		for k, v := range sent {
			of := slots[k]
			if old, ok := w.mu.live[k]; (!ok || v.Version.Compare(old.Version) > 0) && v.Version.Compare(w.mu.erased[of]) >= 0 {
				w.mu.live[k], w.mu.slots[k] = v, of
			}
		}
		for of, at := range erased {
			w.erase(of, at)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.pending, func(k string, v LiveValue) bool { return sent[k] == v })
	maps.DeleteFunc(s.erased, func(of erasure, at stream.Version) bool { return erased[of] == at })
	return nil
}

// erase drops the older values of the slot, and those that come later. It must be called with the lock held.
func (w *World) erase(of erasure, at stream.Version) {
	if at.Compare(w.mu.erased[of]) <= 0 {
		return
	}
	w.mu.erased[of] = at
	maps.DeleteFunc(w.mu.live, func(k string, v LiveValue) bool { return w.mu.slots[k] == of && v.Version.Compare(at) < 0 })
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
