package streamtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// liveWrites is the harness of a live sink that change makes out of the fake.
func liveWrites(change func(s *LiveSink) stream.Sink) SinkHarness {
	return SinkHarness{
		New: func(testing.TB) SinkReceiver {
			w := NewWorld()
			return SinkReceiver{
				Open: func(_ testing.TB, l *Life) stream.Sink {
					return change((&Life{W: w, plan: l.plan, dead: l.dead}).LiveSink(1))
				},
				Visible: func(testing.TB) map[string]string {
					seen := map[string]string{}
					for k, v := range w.Live() {
						seen[k] = v.Content
					}
					return seen
				},
				Lose: func(testing.TB) { w.LoseLive() },
			}
		},
		History: func(t testing.TB, rng *rand.Rand, size int) []SinkStep {
			return SinkSteps(WindowSteps(t, rng, size, stream.Live, stream.Closed, stream.Revised))
		},
	}
}

// fileWrites is the same for the fake of files.
func fileWrites(change func(s *FileSink) stream.Sink) SinkHarness {
	return SinkHarness{
		Staged: true,
		New: func(testing.TB) SinkReceiver {
			w := NewWorld()
			return SinkReceiver{
				Open: func(_ testing.TB, l *Life) stream.Sink {
					return change((&Life{W: w, plan: l.plan, dead: l.dead}).FileSink("final"))
				},
				Visible: func(t testing.TB) map[string]string {
					if err := w.Violation(); err != nil {
						t.Error(err)
					}
					return w.Visible()
				},
			}
		},
		History: func(t testing.TB, rng *rand.Rand, size int) []SinkStep {
			return SinkSteps(WindowSteps(t, rng, size, stream.Final))
		},
	}
}

func TestRunSink(t *testing.T) {
	t.Run("live", func(t *testing.T) { RunSink(t, liveWrites(func(s *LiveSink) stream.Sink { return s })) })
	t.Run("files", func(t *testing.T) { RunSink(t, fileWrites(func(s *FileSink) stream.Sink { return s })) })
	t.Run("stateful", func(t *testing.T) { RunSink(t, heldWrites(nil)) })
}

// holding is a right sink that keeps rows over epochs, and puts them into files of whole windows when they are closed.
// With fault it is wrong.
type holding struct {
	*FileSink
	fault string
	seen  int
	held  map[string]*strings.Builder // by window
}

// heldWrites is the harness of such a sink.
func heldWrites(change func(s *holding)) SinkHarness {
	h := fileWrites(func(s *FileSink) stream.Sink {
		x := &holding{FileSink: s, held: map[string]*strings.Builder{}}
		if change != nil {
			change(x)
		}
		return x
	})
	return h
}

func (s *holding) Write(_ context.Context, b *stream.Batch) error {
	name := fmt.Sprint(b.Window.Start)
	if s.held[name] == nil {
		s.held[name] = &strings.Builder{}
	}
	for i := range b.Len() {
		fmt.Fprintln(s.held[name], Text(b, i))
	}
	return nil
}

func (s *holding) Advance(context.Context, stream.Advance) error {
	for name, text := range s.held {
		if s.files[name] == nil {
			s.files[name] = text
		}
	}
	clear(s.held)
	return nil
}

func (s *holding) Snapshot(w *stream.StateWriter) error {
	w.Section("held", 1)
	if s.seen++; s.fault == "counts" {
		w.Int(int64(s.seen))
	}
	text, err := json.Marshal([]map[string]string{texts(s.held), texts(s.files)})
	w.Bytes(text)
	return err
}

func texts(m map[string]*strings.Builder) map[string]string {
	all := map[string]string{}
	for k, v := range m {
		all[k] = v.String()
	}
	return all
}

func (s *holding) Restore(r *stream.StateReader) error {
	if version, _ := r.Section("held"); version != 1 && s.fault != "any version" {
		return errors.New("another version")
	}
	if s.fault == "counts" {
		r.Int()
	}
	var all []map[string]string
	if err := json.Unmarshal(r.Bytes(), &all); err != nil {
		return err
	}
	for i, m := range []map[string]*strings.Builder{s.held, s.files} {
		for k, v := range all[i] {
			m[k] = &strings.Builder{}
			m[k].WriteString(v)
		}
	}
	if s.fault == "forgets" {
		clear(s.files)
	}
	return r.Err()
}

// alteredSink is a sink of which calls are replaced.
type alteredSink struct {
	stream.Sink
	write  func(ctx context.Context, b *stream.Batch) error
	stage  func(e stream.Epoch) stream.Work
	reveal func(ctx context.Context, r stream.Receipt) error
	close  func() error
}

func (a *alteredSink) Write(ctx context.Context, b *stream.Batch) error {
	if a.write != nil {
		return a.write(ctx, b)
	}
	return a.Sink.Write(ctx, b)
}

func (a *alteredSink) Stage(e stream.Epoch) stream.Work {
	if a.stage != nil {
		return a.stage(e)
	}
	return a.Sink.Stage(e)
}

func (a *alteredSink) Reveal(ctx context.Context, r stream.Receipt) error {
	if a.reveal != nil {
		return a.reveal(ctx, r)
	}
	return a.Sink.Reveal(ctx, r)
}

func (a *alteredSink) Close() error {
	if a.close != nil {
		return a.close()
	}
	return a.Sink.Close()
}

// TestRunSinkCatchesFiles plants a fault at a time into a sink of files.
func TestRunSinkCatchesFiles(t *testing.T) {
	for name, fault := range map[string]struct {
		by     string
		change func(a *alteredSink, s *FileSink)
	}{
		"a line a batch": {"batch borders and epochs change nothing", func(a *alteredSink, s *FileSink) {
			a.write = func(ctx context.Context, b *stream.Batch) error {
				err := s.Write(ctx, b)
				for _, f := range s.files {
					f.WriteString("\n")
				}
				return err
			}
		}},
		"the input is kept": {"batch borders and epochs change nothing", func(a *alteredSink, s *FileSink) {
			var kept []*stream.Batch
			a.write = func(_ context.Context, b *stream.Batch) error {
				view := &stream.Batch{}
				b.View(view, 0, b.Len())
				kept = append(kept, view)
				return nil
			}
			a.stage = func(e stream.Epoch) stream.Work {
				for _, b := range kept {
					_ = s.Write(context.Background(), b)
				}
				kept = nil
				return s.Stage(e)
			}
		}},
		"the name tells the owner": {"a crash at any call changes nothing", func(a *alteredSink, s *FileSink) {
			a.stage = func(e stream.Epoch) stream.Work {
				s.files = map[string]*strings.Builder{strings.Split(e.Prefix, "-")[1] + "/" + fmt.Sprint(len(s.files)): {}}
				return s.Stage(e)
			}
		}},
		"a lost reply counts twice": {"lost replies and failures change nothing", func(a *alteredSink, s *FileSink) {
			a.stage = func(e stream.Epoch) stream.Work {
				work, tries := s.Stage(e), 0
				if work == nil {
					return nil
				}
				return func(ctx context.Context) (stream.Receipt, error) {
					if tries++; tries > 1 {
						return []byte(`{}`), nil // it had failed before
					}
					return work(ctx)
				}
			}
		}},
		"a reveal cannot be repeated": {"a reveal may be repeated, by anybody", func(a *alteredSink, s *FileSink) {
			revealed := map[string]bool{}
			a.reveal = func(ctx context.Context, r stream.Receipt) error {
				if revealed[string(r)] {
					return errors.New("there is no such thing")
				}
				revealed[string(r)] = true
				return s.Reveal(ctx, r)
			}
		}},
		"a reveal needs the one who staged": {"a reveal may be repeated, by anybody", func(a *alteredSink, s *FileSink) {
			own := map[string]bool{}
			a.stage = func(e stream.Epoch) stream.Work {
				work := s.Stage(e)
				if work == nil {
					return nil
				}
				return func(ctx context.Context) (stream.Receipt, error) {
					r, err := work(ctx)
					own[string(r)] = true
					return r, err
				}
			}
			a.reveal = func(ctx context.Context, r stream.Receipt) error {
				if !own[string(r)] {
					return nil
				}
				return s.Reveal(ctx, r)
			}
		}},
		"visible when staged": {"what is not revealed is not visible, and not lost", func(a *alteredSink, s *FileSink) {
			a.stage = func(e stream.Epoch) stream.Work {
				work := s.Stage(e)
				if work == nil {
					return nil
				}
				return func(ctx context.Context) (stream.Receipt, error) {
					r, err := work(ctx)
					return r, errors.Join(err, s.Reveal(ctx, r))
				}
			}
		}},
		"visible when closed": {"what is not revealed is not visible, and not lost", func(a *alteredSink, s *FileSink) {
			var last stream.Receipt
			a.stage = func(e stream.Epoch) stream.Work {
				work := s.Stage(e)
				if work == nil {
					return nil
				}
				return func(ctx context.Context) (r stream.Receipt, err error) {
					last, err = work(ctx)
					return last, err
				}
			}
			a.close = func() error {
				if last == nil {
					return nil
				}
				return s.Reveal(context.Background(), last)
			}
		}},
		"stages what comes later": {"the committer works beside the task", func(a *alteredSink, s *FileSink) {
			var mu sync.Mutex
			a.write = func(ctx context.Context, b *stream.Batch) error {
				mu.Lock()
				defer mu.Unlock()
				return s.Write(ctx, b)
			}
			a.stage = func(e stream.Epoch) stream.Work {
				return func(ctx context.Context) (stream.Receipt, error) {
					mu.Lock()
					work := s.Stage(e)
					mu.Unlock()
					if work == nil {
						return nil, nil
					}
					return work(ctx)
				}
			}
		}},
		"gives up when cancelled": {"work that was cancelled is done again", func(a *alteredSink, s *FileSink) {
			a.stage = func(e stream.Epoch) stream.Work {
				work := s.Stage(e)
				if work == nil {
					return nil
				}
				var over error
				return func(ctx context.Context) (stream.Receipt, error) {
					if over = errors.Join(over, ctx.Err()); over != nil {
						return nil, over
					}
					return work(ctx)
				}
			}
		}},
		"any receipt will do": {"damaged receipts are refused", func(a *alteredSink, s *FileSink) {
			a.reveal = func(ctx context.Context, r stream.Receipt) error {
				_ = s.Reveal(ctx, r)
				return nil
			}
		}},
		"ends once only": {"Close may be repeated", func(a *alteredSink, _ *FileSink) {
			ended := false
			a.close = func() error {
				if ended {
					return errors.New("ended before")
				}
				ended = true
				return nil
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			caught(t, sinkParts(fileWrites(func(s *FileSink) stream.Sink {
				a := &alteredSink{Sink: s}
				fault.change(a, s)
				return a
			})), fault.by)
		})
	}
	for name, by := range map[string]string{
		"counts": "snapshots are exact", "any version": "snapshots are exact", "forgets": "snapshots are exact",
	} {
		t.Run("snapshot "+name, func(t *testing.T) {
			caught(t, sinkParts(heldWrites(func(s *holding) { s.fault = name })), by)
		})
	}
}

// TestRunSinkCatchesLive plants a fault at a time into a live sink.
func TestRunSinkCatchesLive(t *testing.T) {
	for name, fault := range map[string]struct {
		by     string
		change func(a *alteredSink, s *LiveSink)
	}{
		"the last writer wins": {"what is older changes nothing", func(a *alteredSink, s *LiveSink) {
			a.write = func(_ context.Context, b *stream.Batch) error {
				s.l.W.mu.Lock()
				defer s.l.W.mu.Unlock()
				for i := range b.Len() {
					s.l.W.mu.live[fmt.Sprintf("%s|%s", b.Window.Start, strings.Fields(Text(b, i))[0])] = LiveValue{Content: Text(b, i)}
				}
				return nil
			}
		}},
		"adds up": {"a crash at any call changes nothing", func(a *alteredSink, s *LiveSink) {
			a.write = func(_ context.Context, b *stream.Batch) error {
				s.l.W.mu.Lock()
				defer s.l.W.mu.Unlock()
				for i := range b.Len() {
					v := s.l.W.mu.live[fmt.Sprint(b.Window.Start)]
					v.Content = fmt.Sprint(len(v.Content)) + Text(b, i)
					s.l.W.mu.live[fmt.Sprint(b.Window.Start)] = v
				}
				return nil
			}
		}},
		"the last to arrive wins": {"owners that wake up late change nothing", func(a *alteredSink, s *LiveSink) {
			a.write = func(ctx context.Context, b *stream.Batch) error {
				view := *b
				s.l.W.mu.Lock()
				s.l.W.mu.timeline++ // counts arrivals here
				view.Version = stream.Version{Offset: s.l.W.mu.timeline}
				s.l.W.mu.Unlock()
				return s.Write(ctx, &view)
			}
		}},
		"does not wait": {"lost replies and failures change nothing", func(a *alteredSink, s *LiveSink) {
			a.write = func(ctx context.Context, b *stream.Batch) error {
				err := s.Write(ctx, b)
				clear(s.pending)
				return err
			}
		}},
		"describes nothing anew": {"what the receiver has lost comes back", func(a *alteredSink, s *LiveSink) {
			sent := map[string]bool{}
			a.write = func(ctx context.Context, b *stream.Batch) error {
				key := fmt.Sprint(b.Window, b.Version)
				s.l.W.mu.Lock()
				_, known := s.l.W.mu.objects[key]
				s.l.W.mu.objects[key] = nil
				s.l.W.mu.Unlock()
				if known && !sent[key] {
					return nil // an earlier owner has sent it
				}
				sent[key] = true
				return s.Write(ctx, b)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			caught(t, sinkParts(liveWrites(func(s *LiveSink) stream.Sink {
				a := &alteredSink{Sink: s}
				fault.change(a, s)
				return a
			})), fault.by)
		})
	}
}
