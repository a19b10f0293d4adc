package streamtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// counting is the harness of an operator made by change out of a fresh counter.
func counting(change func(c *counter) stream.Operator) OperatorHarness {
	return OperatorHarness{Histories: 60, Draw: func(_ testing.TB, rng *rand.Rand, size int) OperatorCase {
		return OperatorCase{
			New:   func() stream.Operator { return change(newCounter()) },
			Steps: Feed{Grids: newCounter().Grids(), Disorder: disorder, Grace: grace}.Steps(rng, drawEvents(rng, size)),
		}
	}}
}

func TestRunOperator(t *testing.T) {
	RunOperator(t, counting(func(c *counter) stream.Operator { return c }))
}

// faulty is a counter of which calls are replaced.
type faulty struct {
	*counter
	process  func(b *stream.Batch, out stream.Emitter) error
	advance  func(to stream.Advance, out stream.Emitter) error
	snapshot func(w *stream.StateWriter) error
	restore  func(r *stream.StateReader) error
	publish  func(at stream.Version, out stream.Emitter) error
}

func (f *faulty) Process(b *stream.Batch, out stream.Emitter) error {
	if f.process != nil {
		return f.process(b, out)
	}
	return f.counter.Process(b, out)
}

func (f *faulty) Advance(to stream.Advance, out stream.Emitter) error {
	if f.advance != nil {
		return f.advance(to, out)
	}
	return f.counter.Advance(to, out)
}

func (f *faulty) Snapshot(w *stream.StateWriter) error {
	if f.snapshot != nil {
		return f.snapshot(w)
	}
	return f.counter.Snapshot(w)
}

func (f *faulty) Restore(r *stream.StateReader) error {
	if f.restore != nil {
		return f.restore(r)
	}
	return f.counter.Restore(r)
}

func (f *faulty) Publish(at stream.Version, out stream.Emitter) error {
	if f.publish != nil {
		return f.publish(at, out)
	}
	return f.counter.Publish(at, out)
}

// reshaping is an emitter that changes what passes.
type reshaping struct {
	stream.Emitter
	emit func(b *stream.Batch) error
}

func (r reshaping) Emit(b *stream.Batch) error { return r.emit(b) }

// TestRunOperatorCatches plants a fault at a time.
func TestRunOperatorCatches(t *testing.T) {
	runs := 0
	for name, fault := range map[string]struct {
		by     string
		change func(f *faulty)
	}{
		"a late row a batch only": {"batch borders have no meaning", func(f *faulty) {
			f.process = func(b *stream.Batch, out stream.Emitter) error {
				return f.counter.Process(b, reshaping{out, func(b *stream.Batch) error {
					b.Truncate(1)
					return out.Emit(b)
				}})
			}
		}},
		"counts batches": {"batch borders have no meaning", func(f *faulty) {
			f.process = func(b *stream.Batch, out stream.Emitter) error {
				out.Count(stream.BucketFiltered, 1)
				return f.counter.Process(b, out)
			}
		}},
		"judges lateness by the batch": {"batch borders have no meaning", func(f *faulty) {
			f.process = func(b *stream.Batch, out stream.Emitter) error {
				view := *b
				view.Mark = slices.Clone(b.Mark)
				fill(view.Mark, b.Mark[b.Len()-1])
				return f.counter.Process(&view, out)
			}
		}},
		"keeps the input": {"the input is not kept", func(f *faulty) {
			var kept []*stream.Batch
			f.process = func(b *stream.Batch, _ stream.Emitter) error {
				view := &stream.Batch{}
				b.View(view, 0, b.Len())
				kept = append(kept, view)
				return nil
			}
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				for _, b := range kept {
					if err := f.counter.Process(b, out); err != nil {
						return err
					}
				}
				kept = nil
				return f.counter.Advance(to, out)
			}
		}},
		"forgets a mark": {"a restored operator goes on as the other would have", func(f *faulty) {
			f.restore = func(r *stream.StateReader) error {
				err := f.counter.Restore(r)
				for _, w := range f.windows {
					clear(w.revised)
				}
				return err
			}
		}},
		"two snapshots differ": {"a restored operator goes on as the other would have", func(f *faulty) {
			f.snapshot = func(w *stream.StateWriter) error {
				runs++
				w.Section("when", 1)
				w.Int(int64(runs))
				return f.counter.Snapshot(w)
			}
		}},
		"a snapshot changes the state": {"a restored operator goes on as the other would have", func(f *faulty) {
			f.snapshot = func(w *stream.StateWriter) error {
				defer clear(f.windows)
				return f.counter.Snapshot(w)
			}
		}},
		"a restored float is rounded": {"a restored operator goes on as the other would have", func(f *faulty) {
			f.restore = func(r *stream.StateReader) error {
				err := f.counter.Restore(r)
				for _, w := range f.windows {
					for _, n := range w.hosts {
						n.sum = float64(int64(n.sum))
					}
				}
				return err
			}
		}},
		"shows and forgets": {"what is shown decides nothing", func(f *faulty) {
			f.publish = func(at stream.Version, out stream.Emitter) error {
				defer func() {
					for _, w := range f.windows {
						clear(w.hosts)
					}
				}()
				return f.counter.Publish(at, out)
			}
		}},
		"does not show everything": {"what is shown decides nothing", func(f *faulty) {
			f.publish = func(at stream.Version, out stream.Emitter) error {
				return f.counter.Publish(stream.Version{Offset: at.Offset / 2}, out)
			}
		}},
		"emits the same progress again": {"progress that is known changes nothing", func(f *faulty) {
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				for start := range f.windows {
					if err := f.emit(start, nil, stream.Live, to, out); err != nil {
						return err
					}
				}
				return f.counter.Advance(to, out)
			}
		}},
		"goes back in time": {"progress that is known changes nothing", func(f *faulty) {
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				f.mark, f.record = stream.NoTime, stream.NoTime
				return f.counter.Advance(to, out)
			}
		}},
		"counts nothing": {"nothing comes of nothing", func(f *faulty) {
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				out.Count(stream.BucketCounted, 1)
				return f.counter.Advance(to, out)
			}
		}},
		"takes any version": {"snapshots of other versions are refused", func(f *faulty) {
			f.restore = func(r *stream.StateReader) error {
				_, _ = r.Section("counts")
				return nil
			}
		}},
		"hides the emitter's error": {"errors of the emitter come back", func(f *faulty) {
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				_ = f.counter.Advance(to, out)
				return nil
			}
		}},
		"wraps the emitter's error": {"errors of the emitter come back", func(f *faulty) {
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				if err := f.counter.Advance(to, out); err != nil {
					return fmt.Errorf("advance: %w", err)
				}
				return nil
			}
		}},
		"depends on the run": {"two runs are equal", func(f *faulty) {
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				runs++
				to.At.Step += uint32(runs)
				return f.counter.Advance(to, out)
			}
		}},
		"cuts slots": {"two runs are equal", func(f *faulty) {
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				return f.counter.Advance(to, reshaping{out, func(b *stream.Batch) error {
					var view stream.Batch
					for i := range b.Len() {
						if b.View(&view, i, i+1); out.Emit(&view) != nil {
							return errors.New("emit")
						}
					}
					return nil
				}})
			}
		}},
		"columns of different lengths": {"two runs are equal", func(f *faulty) {
			f.advance = func(to stream.Advance, out stream.Emitter) error {
				return f.counter.Advance(to, reshaping{out, func(b *stream.Batch) error {
					b.Cols[2].Ints = b.Cols[2].Ints[1:]
					return out.Emit(b)
				}})
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			caught(t, operatorParts(counting(func(c *counter) stream.Operator {
				f := &faulty{counter: c}
				fault.change(f)
				return f
			})), fault.by)
		})
	}
}
