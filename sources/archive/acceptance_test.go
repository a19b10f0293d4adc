package archive_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/sources/archive"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// acceptanceLog is more than a Read returns, on both sides of an hour, with gaps. Records that do not decode are not in an
// archive.
func acceptanceLog() (log []stream.Message) {
	offset := int64(1000)
	for i := range 5000 {
		offset += int64([]int{1, 1, 1, 2, 70}[i*i%5])
		at := start.Add(time.Duration(i-i*i%900) * time.Millisecond)
		value := fmt.Appendf(nil, `{"time":%d,"name":"m%d","value":%d.5,"host":"h%d","attributes":{"region":"r%d"}}`, at/1e6, i%3, i, i%7, i%2)
		if i%5 == 0 {
			value = fmt.Appendf(nil, `{"time":%d,"name":"m","value":1}`, at/1e6)
		}
		log = append(log, stream.Message{Offset: offset, Timestamp: at.Add(time.Second), Value: value})
	}
	return log
}

func TestAcceptance(t *testing.T) {
	t.Run("whole", func(t *testing.T) {
		log := acceptanceLog()
		streamtest.RunSource(t, acceptance(t, log, log, archive.Default()))
	})
	t.Run("a span of time", func(t *testing.T) {
		log, c := acceptanceLog(), archive.Default()
		c.Since, c.Until = start.Add(500*time.Millisecond), start.Add(2500*time.Millisecond)
		var wanted []stream.Message
		for _, m := range log {
			if at := m.Timestamp.Add(-time.Second); at >= c.Since && at < c.Until {
				wanted = append(wanted, m)
			}
		}
		streamtest.RunSource(t, acceptance(t, log, wanted, c))
	})
}

// acceptance archives the log in several ways; wanted is what a source of the configuration gives out.
func acceptance(t *testing.T, log, wanted []stream.Message, c archive.Config) streamtest.SourceHarness {
	t.Helper()
	folder, err := objects.Open(t.Context(), objects.Default(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	one, many := newMemory(), newMemory()
	write(t, one, log, nil)
	write(t, many, log, []int{1, 7, 900, 901, 2500})
	write(t, folder, log, []int{3000})
	var controls []stream.Control
	for i, m := range []stream.Message{log[0], log[7], log[7], log[len(log)-1]} {
		controls = append(controls, stream.Control{Kind: "tick", At: stream.Version{Offset: m.Offset + 1, Step: uint32(i + 1)}, Mark: start.Add(time.Duration(i) * time.Hour)})
	}
	claimed(t, many, taskOf("a@1", "main", partition.Number, partition.Incarnation), controls)
	sourceOn := func(s stream.Objects) *archive.Source {
		c := c
		c.Objects = s
		return open(t, c)
	}
	// A bounded source ends with its first readers, so each reader has a source of its own.
	way := func(name string, s stream.Objects) streamtest.SourceWay {
		return streamtest.SourceWay{Name: name, Open: func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
			return sourceOn(s).Open(t.Context(), partition, offset, d)
		}}
	}
	shared := sourceOn(many)
	return streamtest.SourceHarness{
		Log: wanted, Decoder: func() stream.Decoder { return decoder(t, "host", "value", "name", "attributes.region") },
		First: log[0].Offset, End: log[len(log)-1].Offset + 1, Bounded: true, Histories: 6,
		Ways: []streamtest.SourceWay{
			way("one part", one), way("many parts", many), way("folder", folder),
			{Name: "a source for all", Open: func(t testing.TB, offset int64, d stream.Decoder) (stream.Reader, error) {
				return shared.Open(t.Context(), partition, offset, d)
			}},
		},
		Source: func(testing.TB) stream.Source { return sourceOn(many) }, Partition: partition,
		Controls: func(t testing.TB) ([]stream.Control, error) {
			all, err := sourceOn(many).Controls(t.Context(), partition.Topic, "a@1")
			return all[partition.Number], err
		},
		WantControls: controls,
		Blocked: func(t testing.TB) stream.Reader {
			r, err := sourceOn(&silent{Objects: many, after: 1}).Open(t.Context(), partition, log[0].Offset, decoder(t, "host"))
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
		Away: func(testing.TB) (streamtest.SourceWay, func(away bool)) {
			store := &flaky{Objects: many}
			return way("away", store), store.failing.Store
		},
		Broken: []streamtest.SourceFault{
			{Name: "rubbish", Kind: stream.Fatal, Open: damagedAfter(t, c, log, func(s *memory, key string) { s.objects[key] = []byte("rubbish") })},
			{Name: "a part is missing", Kind: stream.Fatal, Open: damagedAfter(t, c, log, func(s *memory, key string) { delete(s.objects, key) })},
		},
	}
}

// damagedAfter opens a reader, and then does something to the second file.
func damagedAfter(t *testing.T, c archive.Config, log []stream.Message, damage func(s *memory, key string)) func(testing.TB) (stream.Reader, error) {
	return func(testing.TB) (stream.Reader, error) {
		s := newMemory()
		write(t, s, log, []int{10})
		c := c
		c.Objects = s
		source := open(t, c)
		n := 0
		err := s.List(t.Context(), "", func(o stream.Object) error {
			if n++; n == 2 {
				defer damage(s, o.Key)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		return source.Open(t.Context(), partition, log[0].Offset, decoder(t, "host"))
	}
}

// silent is a store that answers so many calls of Get, and then no more.
type silent struct {
	stream.Objects
	after int
}

func (s *silent) Get(ctx context.Context, key string) ([]byte, error) {
	if s.after--; s.after >= 0 {
		return s.Objects.Get(ctx, key)
	}
	<-ctx.Done()
	return nil, errors.Join(stream.Mark(stream.Retry, errors.New("no answer")), ctx.Err())
}
