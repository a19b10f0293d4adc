package streamtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// textDecoder keeps the value of a record; those that begin with # are rejected.
type textDecoder struct{}

func (textDecoder) Schema() *stream.Schema {
	return &stream.Schema{Fields: []stream.Field{{Name: "value", Kind: stream.String}}}
}

func (textDecoder) Decode(m *stream.Message, b *stream.Batch) error {
	if m.Value[0] == '#' {
		return stream.Mark(stream.Reject, fmt.Errorf("%s is a comment", m.Value))
	}
	b.Cols[0].AppendBytes(m.Value)
	b.Offset = append(b.Offset, m.Offset)
	b.SetLen(b.Len() + 1)
	return nil
}

var tick = stream.Control{Kind: "tick", At: stream.Version{Offset: 20, Step: 1}}

// reading a fake source, whose readers are changed by change.
func reads(change func(r stream.Reader, offset int64) stream.Reader) SourceHarness {
	const records = 60
	w, partition := NewWorld(), stream.Partition{Topic: "in"}
	for i := range records {
		value := fmt.Sprintf("record %d", i/3)
		if i%7 == 3 {
			value = "#" + value
		}
		w.Append(LogID{"in", 0}, stream.Message{Value: []byte(value)})
	}
	source := func(w *World, plan Plan, seed uint64) *Source {
		return NewLife(w, plan).Source(map[string]int32{"in": 1}, rand.New(rand.NewPCG(seed, 0)))
	}
	open := func(s *Source) func(testing.TB, int64, stream.Decoder) (stream.Reader, error) {
		return func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
			if offset > records {
				return nil, stream.Mark(stream.Fatal, errors.New("the log has no such offset"))
			}
			r, err := s.Open(t.Context(), partition, offset, d)
			if err != nil {
				return nil, err
			}
			return change(r, offset), nil
		}
	}
	return SourceHarness{
		Log: w.mu.logs[LogID{"in", 0}], Decoder: func() stream.Decoder { return textDecoder{} }, First: 0, End: records, Histories: 10,
		Ways:   []SourceWay{{"one", open(source(w, nil, 1))}, {"two", open(source(w, nil, 2))}},
		Source: func(testing.TB) stream.Source { return leaving{source(w, nil, 3)} }, Partition: partition,
		Controls:     func(testing.TB) ([]stream.Control, error) { return []stream.Control{tick}, nil },
		WantControls: []stream.Control{tick},
		Blocked:      func(testing.TB) stream.Reader { return change(waiting{}, 0) },
		Grow: func(t testing.TB) (stream.Reader, func() []stream.Message) {
			w := NewWorld()
			r, err := open(source(w, nil, 4))(t, 0, textDecoder{})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			return r, func() []stream.Message {
				for range 3 {
					w.Append(LogID{"in", 0}, stream.Message{Value: fmt.Appendf(nil, "more %d", n)})
					n++
				}
				return w.mu.logs[LogID{"in", 0}][n-3:]
			}
		},
		Away: func(testing.TB) (SourceWay, func(bool)) {
			away := false
			plan := func(string) Fault { return map[bool]Fault{true: Fail}[away] }
			return SourceWay{"away", open(source(w, plan, 5))}, func(now bool) { away = now }
		},
		Broken: []SourceFault{{"a gone log", stream.Retry, func(t testing.TB) (stream.Reader, error) {
			r, err := source(w, func(string) Fault { return Fail }, 6).Open(t.Context(), partition, 0, textDecoder{})
			if err == nil {
				return nil, errors.New("it opened")
			}
			return r, err
		}}},
	}
}

// leaving takes partitions back at the end, which the fake leaves to its engine.
type leaving struct{ *Source }

func (s leaving) Assign(ctx context.Context, change func(gained, lost []stream.Partition) error) error {
	var held []stream.Partition
	err := s.Source.Assign(ctx, func(gained, lost []stream.Partition) error {
		held = gained
		return change(gained, lost)
	})
	return errors.Join(err, change(nil, held))
}

// waiting is a reader that nothing comes to.
type waiting struct{}

func (waiting) Read(ctx context.Context) (*stream.Input, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (waiting) Close() error { return nil }

func TestRunSource(t *testing.T) {
	RunSource(t, reads(func(r stream.Reader, _ int64) stream.Reader { return r }))
}

// TestRunSourceBounded is for input that ends, and is read as a whole.
func TestRunSourceBounded(t *testing.T) {
	h := reads(func(r stream.Reader, _ int64) stream.Reader { return &altered{Reader: r, input: ends} })
	h.Bounded, h.FromFirst, h.Source, h.Controls, h.Blocked, h.Grow, h.Away, h.Broken = true, true, nil, nil, nil, nil, nil, nil
	RunSource(t, h)
	h.Bounded = false
	caught(t, sourceParts(h), "the end")
}

func ends(in *stream.Input) (*stream.Input, error) {
	if in.Next == in.From {
		return nil, io.EOF
	}
	return in, nil
}

// altered is a reader of which calls are replaced.
type altered struct {
	stream.Reader
	input func(in *stream.Input) (*stream.Input, error)
	read  func(ctx context.Context) (*stream.Input, error)
	close func() error
}

func (a *altered) Read(ctx context.Context) (*stream.Input, error) {
	if a.read != nil {
		return a.read(ctx)
	}
	in, err := a.Reader.Read(ctx)
	if err != nil || a.input == nil {
		return in, err
	}
	return a.input(in)
}

func (a *altered) Close() error {
	if a.close != nil {
		return a.close()
	}
	return a.Reader.Close()
}

// without drops the rows of an input that drop says.
func without(in *stream.Input, drop func(offset int64) bool) *stream.Input {
	b := stream.NewBatch(in.Batch.Schema)
	for i := range in.Batch.Len() {
		if !drop(in.Batch.Offset[i]) {
			b.AppendRow(in.Batch, i)
		}
	}
	out := *in
	out.Batch = b
	return &out
}

// TestRunSourceCatches plants a fault at a time.
func TestRunSourceCatches(t *testing.T) {
	for name, fault := range map[string]struct {
		by     string
		change func(a *altered, offset int64)
	}{
		"skips a record": {"the whole log, in every way", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				return without(in, func(o int64) bool { return o == 40 }), nil
			}
		}},
		"skips the first record after a restart": {"any position gives what follows it", func(a *altered, offset int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				return without(in, func(o int64) bool { return o == offset && o > 0 }), nil
			}
		}},
		"repeats a record": {"a restart repeats nothing and skips nothing", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				if in.Batch.Len() > 0 {
					in.Batch.AppendRow(in.Batch, 0)
				}
				return in, nil
			}
		}},
		"gives other values": {"any position gives what follows it", func(a *altered, offset int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				for i := range in.Batch.Len() {
					if offset > 10 && in.Batch.Offset[i] > 30 {
						in.Batch.Cols[0].IDs[i] = in.Batch.Cols[0].Dict.ID([]byte("other"))
					}
				}
				return in, nil
			}
		}},
		"hides what it rejects": {"the whole log, in every way", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				in.Rejected = nil
				return in, nil
			}
		}},
		"rejects at the wrong offset": {"the whole log, in every way", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				for i := range in.Rejected {
					in.Rejected[i].Offset++
				}
				return in, nil
			}
		}},
		"loses the raw bytes": {"the whole log, in every way", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				for i := range in.Rejected {
					in.Rejected[i].Raw = nil
				}
				return in, nil
			}
		}},
		"its inputs do not follow on each other": {"the whole log, in every way", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				out := *in
				out.Next++
				return &out, nil
			}
		}},
		"the end goes back": {"the whole log, in every way", func(a *altered, _ int64) {
			end := int64(1000)
			a.input = func(in *stream.Input) (*stream.Input, error) {
				out := *in
				end--
				out.End = end
				return &out, nil
			}
		}},
		"renumbers strings": {"the whole log, in every way", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				g := in.Batch.Cols[0].Dict.Generation()
				texts := make([]string, in.Batch.Len())
				for i := range texts {
					texts[i] = in.Batch.Cols[0].Text(i)
				}
				*in.Batch.Cols[0].Dict = *stream.NewDict()
				for i := range slices.Backward(texts) {
					in.Batch.Cols[0].IDs[i] = in.Batch.Cols[0].Dict.ID([]byte(texts[i]))
				}
				if in.Batch.Cols[0].Dict.Generation() != g {
					return nil, errors.New("another generation")
				}
				return in, nil
			}
		}},
		"counts columns wrong": {"the whole log, in every way", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				in.Batch.Time = append(in.Batch.Time[:0], make([]stream.Time, in.Batch.Len()+1)...)
				return in, nil
			}
		}},
		"needs its input back": {"what was returned belongs to the caller", func(a *altered, _ int64) {
			var before []byte
			a.input = func(in *stream.Input) (*stream.Input, error) {
				if string(before) != "" && string(before[:1]) == "!" {
					return nil, errors.New("who has written to my bytes?")
				}
				if len(in.Rejected) > 0 {
					before = in.Rejected[0].Raw
				}
				return in, nil
			}
		}},
		"ends too early": {"the end", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				if in.From > 30 {
					return nil, io.EOF
				}
				return in, nil
			}
		}},
		"invents rows at the end": {"the end", func(a *altered, _ int64) {
			a.input = func(in *stream.Input) (*stream.Input, error) {
				if in.Next == in.From {
					in.Batch.AppendRow(&stream.Batch{Schema: in.Batch.Schema, Cols: textRow(in.Batch.Schema).Cols, Offset: []int64{in.Next}}, 0)
				}
				return in, nil
			}
		}},
		"drops what a cancelled read has taken": {"a cancelled read returns quickly and loses nothing", func(a *altered, _ int64) {
			a.read = func(ctx context.Context) (*stream.Input, error) {
				in, err := a.Reader.Read(context.WithoutCancel(ctx))
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				return in, err
			}
		}},
		"does not say why a read ended": {"a cancelled read returns quickly and loses nothing", func(a *altered, _ int64) {
			a.read = func(ctx context.Context) (*stream.Input, error) {
				if ctx.Err() != nil {
					return nil, errors.New("cannot read")
				}
				return a.Reader.Read(ctx)
			}
		}},
		"ends once only": {"Close may be repeated", func(a *altered, _ int64) {
			closed := false
			a.close = func() error {
				if closed {
					return errors.New("closed before")
				}
				closed = true
				return nil
			}
		}},
		"gives up while the other is away": {"what is away is tried again", func(a *altered, _ int64) {
			a.read = func(ctx context.Context) (*stream.Input, error) {
				in, err := a.Reader.Read(ctx)
				if err != nil {
					return nil, fmt.Errorf("it is over: %w", stream.Mark(stream.Fatal, errors.New("away")))
				}
				return in, nil
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			caught(t, sourceParts(reads(func(r stream.Reader, offset int64) stream.Reader {
				a := &altered{Reader: r}
				fault.change(a, offset)
				return a
			})), fault.by)
		})
	}
}

func textRow(s *stream.Schema) *stream.Batch {
	b := stream.NewBatch(s)
	b.Cols[0].AppendString("invented")
	b.SetLen(1)
	return b
}

// TestRunSourceCatchesSources is for what a whole source does wrong.
func TestRunSourceCatchesSources(t *testing.T) {
	healthy := func(r stream.Reader, _ int64) stream.Reader { return r }
	for name, fault := range map[string]struct {
		by     string
		change func(h *SourceHarness)
	}{
		"an offset behind the end is taken": {"offsets outside of the log are refused", func(h *SourceHarness) {
			h.Ways[0].Open = func(testing.TB, int64, stream.Decoder) (stream.Reader, error) {
				return &altered{read: func(context.Context) (*stream.Input, error) { return &stream.Input{}, nil }, close: func() error { return nil }}, nil
			}
		}},
		"an offset behind the end is worth another try": {"offsets outside of the log are refused", func(h *SourceHarness) {
			h.Ways[0].Open = func(testing.TB, int64, stream.Decoder) (stream.Reader, error) {
				return nil, stream.Mark(stream.Retry, errors.New("not yet"))
			}
		}},
		"a decoder's failure is a rejection": {"a decoder's own failure is no rejection", func(h *SourceHarness) {
			open := h.Ways[0].Open
			h.Ways[0].Open = func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
				return open(t, offset, forgiving{d})
			}
		}},
		"an assignment that does not end": {"an assignment ends with its context", func(h *SourceHarness) {
			end := make(chan struct{})
			h.Source = func(t testing.TB) stream.Source {
				t.Cleanup(func() { close(end) })
				return stubborn{h.Partition, end}
			}
		}},
		"an assignment that keeps its partitions": {"an assignment ends with its context", func(h *SourceHarness) {
			w := NewWorld()
			h.Source = func(testing.TB) stream.Source {
				return NewLife(w, nil).Source(map[string]int32{"in": 1}, rand.New(rand.NewPCG(1, 0)))
			}
		}},
		"a read that cannot be cancelled": {"a read that waits can be cancelled", func(h *SourceHarness) {
			h.Blocked = func(testing.TB) stream.Reader {
				return &altered{Reader: waiting{}, read: func(context.Context) (*stream.Input, error) {
					<-time.After(time.Second)
					return nil, context.Canceled
				}}
			}
		}},
		"what is appended does not come": {"what is appended comes", func(h *SourceHarness) {
			grow := h.Grow
			h.Grow = func(t testing.TB) (stream.Reader, func() []stream.Message) {
				r, more := grow(t)
				return r, func() []stream.Message {
					return append(more(), stream.Message{Offset: 99, Value: []byte("never written")})
				}
			}
		}},
		"forgets control records": {"control records have their places", func(h *SourceHarness) {
			h.Controls = func(testing.TB) ([]stream.Control, error) { return nil, nil }
		}},
		"control records outside of the log": {"control records have their places", func(h *SourceHarness) {
			h.WantControls = []stream.Control{{Kind: "tick", At: stream.Version{Offset: h.End + 1, Step: 1}}}
			h.Controls = func(testing.TB) ([]stream.Control, error) { return h.WantControls, nil }
		}},
		"a broken log is no failure": {"broken: a gone log", func(h *SourceHarness) {
			h.Broken[0].Kind = stream.Fatal
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := reads(healthy)
			h.patience = 100 * time.Millisecond
			fault.change(&h)
			caught(t, sourceParts(h), fault.by)
		})
	}
}

// forgiving takes every failure of a decoder for a rejection.
type forgiving struct{ stream.Decoder }

func (f forgiving) Decode(m *stream.Message, b *stream.Batch) error {
	return stream.Mark(stream.Reject, f.Decoder.Decode(m, b))
}

// stubborn is a source whose assignment does not listen to its context.
type stubborn struct {
	p   stream.Partition
	end chan struct{}
}

func (s stubborn) Assign(_ context.Context, change func(gained, lost []stream.Partition) error) error {
	err := change([]stream.Partition{s.p}, nil)
	<-s.end
	return err
}

func (s stubborn) Open(context.Context, stream.Partition, int64, stream.Decoder) (stream.Reader, error) {
	return nil, errors.New("not to be opened")
}
