package archive_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/columnfile"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/sinks/parquet"
	"github.com/tidewatch/tidewatch/sources/archive"
	"github.com/tidewatch/tidewatch/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	start     = stream.TimeOf(time.Date(2026, 11, 23, 4, 59, 58, 0, time.UTC))
	partition = stream.Partition{Topic: "metrics", Number: 2, Incarnation: "topic-id"}
)

func metric(t testing.TB) *schemas.Definition {
	t.Helper()
	d, err := schemas.Builtin().Lookup("metric", 1)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func decoder(t testing.TB, fields ...string) stream.Decoder {
	t.Helper()
	d, err := schemas.NewDecoder("json", metric(t), fields)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// drawLog makes records: JSON events with everything optional left out now and then, gaps between offsets, some that do
// not decode, times on both sides of an hour.
func drawLog(t *rapid.T) []stream.Message {
	text := rapid.SampledFrom([]string{`"a"`, `"web-7"`, `"ä😀"`, `"\u0061\n\"q\""`, `""`, `"0123456789012345678901234567890123456789"`})
	value := rapid.SampledFrom([]string{`"eu-west-1"`, `"\u00e9\\"`, `""`, `null`, `7`, `-1.50e2`, `true`, `false`, `"a\"b,}"`, `{ "a" : [1, "x,}"] }`, `[ ]`, `"x"`})
	log := make([]stream.Message, rapid.IntRange(1, 60).Draw(t, "records"))
	offset := rapid.Int64Range(0, 1<<40).Draw(t, "first")
	for i := range log {
		offset += rapid.SampledFrom([]int64{1, 1, 1, 1, 2, 5, 100000}).Draw(t, "gap")
		at := start.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "time")) * time.Millisecond)
		var b strings.Builder
		fmt.Fprintf(&b, `{"time":%q,"name":"m%d","value":%d`, at.Go().Format(time.RFC3339Nano), i%3, i)
		for _, field := range []string{"tenant", "service", "host", "producer", "unit"} {
			if rapid.IntRange(0, 2).Draw(t, field) > 0 {
				fmt.Fprintf(&b, `,%q:%s`, field, text.Draw(t, field))
			}
		}
		for _, field := range []string{"region", "zone"} {
			if rapid.IntRange(0, 3).Draw(t, field) == 0 {
				fmt.Fprintf(&b, `,%q:%s`, field, value.Draw(t, field))
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "attributes") > 0 {
			b.WriteString(`,"attributes":{"x":1`)
			for _, name := range []string{"region", "zone", `status.code`, `host`, `\u0072egion`} {
				if rapid.Bool().Draw(t, name) {
					fmt.Fprintf(&b, `, "%s" : %s`, name, value.Draw(t, name))
				}
			}
			b.WriteString("}")
		}
		b.WriteString("}")
		record := b.String()
		if rapid.IntRange(0, 15).Draw(t, "broken") == 0 {
			record = record[:len(record)/2]
		}
		log[i] = stream.Message{Offset: offset, Timestamp: at.Add(time.Duration(i) * time.Millisecond), Value: []byte(record)}
	}
	return log
}

// decode is what a live reader makes of the records.
func decode(t testing.TB, log []stream.Message, fields ...string) *stream.Batch {
	t.Helper()
	d := decoder(t, fields...)
	b := stream.NewBatch(d.Schema())
	for i := range log {
		if err := d.Decode(&log[i], b); err != nil && stream.KindOfError(err) != stream.Reject {
			t.Fatal(err)
		}
	}
	b.Phase = stream.Event
	return b
}

// write archives the records in parts.
func write(t testing.TB, store stream.Objects, log []stream.Message, cuts []int) {
	t.Helper()
	sink, err := parquet.NewRaw(parquet.RawConfig{Objects: store, Partition: partition})
	if err != nil {
		t.Fatal(err)
	}
	lo := 0
	for _, hi := range append(slices.Clone(cuts), len(log)) {
		if b := decode(t, log[lo:hi], metric(t).Names()...); b.Len() > 0 {
			if err := sink.Write(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		work := sink.Stage(stream.Epoch{Prefix: fmt.Sprintf("state/%d/", lo)})
		lo = hi
		if work == nil {
			continue
		}
		receipt, err := work(context.Background())
		if err == nil {
			err = sink.Reveal(context.Background(), receipt)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// texts prints rows with everything that an operator can see.
func texts(b *stream.Batch) []string {
	rows := make([]string, b.Len())
	for i := range rows {
		values := []any{b.Offset[i], b.Time[i], b.Timestamp[i], b.Producer[i], b.Bytes[i], b.Phase}
		for c := range b.Cols {
			values = append(values, b.Schema.Fields[c].Name, b.Cols[c].Value(i))
		}
		rows[i] = fmt.Sprintf("%#v", values)
	}
	return rows
}

func open(t testing.TB, c archive.Config) *archive.Source {
	t.Helper()
	s, err := archive.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func config(store stream.Objects) archive.Config {
	c := archive.Default()
	c.Objects = store
	return c
}

// closed closes a reader at the end of a test.
func closed(t testing.TB, r stream.Reader) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// readAll reads a partition to its end, and checks that the inputs follow on each other.
func readAll(t testing.TB, r stream.Reader, from int64) (rows []string) {
	t.Helper()
	defer closed(t, r)
	for next := from; ; {
		in, err := r.Read(context.Background())
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		if in.From != next || in.Next <= in.From || in.Batch.Offset[0] < in.From || in.Batch.Offset[in.Batch.Len()-1] >= in.Next {
			t.Fatalf("an input from %d to %d follows on %d", in.From, in.Next, next)
		}
		next = in.Next
		rows = append(rows, texts(in.Batch)...)
	}
}

// TestReplayEqualsTheLog: what comes out of the archive is what a live reader with the same projection makes of the
// records: values, times, sizes and producers.
func TestReplayEqualsTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := drawLog(rt)
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(log)), 0, 4).Draw(rt, "cuts")
		slices.Sort(cuts)
		store := newMemory()
		write(t, store, log, cuts)
		all := append(metric(t).Names(), "attributes.region", "attributes.zone", "attributes.status.code", "attributes.host", "attributes.none")
		fields := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 1, 6, rapid.ID).Draw(rt, "fields")
		live := decode(t, log, fields...)
		c := config(store)
		if rapid.Bool().Draw(rt, "bounded") {
			c.Since = start.Add(time.Duration(rapid.IntRange(-100, 3000).Draw(rt, "since")) * time.Millisecond)
			c.Until = c.Since.Add(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "span")) * time.Millisecond)
		}
		source := open(t, c)
		if len(source.Found()) == 0 {
			for i := range live.Len() {
				if live.Time[i].Floor(time.Hour).Add(time.Hour) > c.Since && live.Time[i].Floor(time.Hour) < c.Until {
					rt.Fatalf("the archive is empty, but there is an event at %v", live.Time[i])
				}
			}
			return
		}
		first, err := source.LogStart(t.Context(), partition)
		if err != nil {
			rt.Fatal(err)
		}
		from := first
		if i := rapid.IntRange(-1, live.Len()-1).Draw(rt, "start"); i >= 0 && live.Offset[i] >= first {
			from = live.Offset[i]
		}
		var want []string
		for i, row := range texts(live) {
			if live.Time[i] >= c.Since && live.Time[i] < c.Until && live.Offset[i] >= from {
				want = append(want, row)
			}
		}
		r, err := source.Open(t.Context(), partition, from, decoder(t, fields...))
		if err != nil {
			if stream.KindOfError(err) == stream.Fatal && len(want) == 0 {
				return // the offset lies behind the wanted hours
			}
			rt.Fatal(err)
		}
		if got := readAll(t, r, from); !slices.Equal(got, want) {
			rt.Fatalf("replay gives\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func simpleLog(first int64, n int, at stream.Time) []stream.Message {
	log := make([]stream.Message, n)
	for i := range log {
		t := at.Add(time.Duration(i) * time.Millisecond)
		log[i] = stream.Message{Offset: first + int64(i), Timestamp: t, Value: fmt.Appendf(nil, `{"time":%d,"name":"m","value":1,"host":"h%d"}`, t/1e6, i%7)}
	}
	return log
}

// flaky is a store that is away now and then.
type flaky struct {
	stream.Objects
	failing atomic.Bool
}

func (f *flaky) Get(ctx context.Context, key string) ([]byte, error) {
	if f.failing.Load() {
		return nil, stream.Mark(stream.Retry, errors.New("the store is away"))
	}
	return f.Objects.Get(ctx, key)
}

// TestDictionariesGoOn: a number of a dictionary means the same in the next part.
func TestDictionariesGoOn(t *testing.T) {
	store := newMemory()
	log := simpleLog(0, 20, start)
	write(t, store, log, []int{10})
	r, err := open(t, config(store)).Open(t.Context(), partition, 0, decoder(t, "host"))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, r)
	var generation uint64
	names := map[uint32]string{}
	for range 2 {
		in, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		d := in.Batch.Cols[0].Dict
		for i, id := range in.Batch.Cols[0].IDs {
			if before, ok := names[id]; ok && (before != in.Batch.Cols[0].Text(i) || generation != d.Generation()) {
				t.Fatalf("number %d is %q and %q", id, before, in.Batch.Cols[0].Text(i))
			}
			names[id] = in.Batch.Cols[0].Text(i)
		}
		generation = d.Generation()
	}
}

// TestDictionariesEnd: strings that never repeat do not pile up over the parts.
func TestDictionariesEnd(t *testing.T) {
	store := newMemory()
	var log []stream.Message
	for i := range 42 {
		host := strings.Repeat(fmt.Sprintf("%d-", i), 1<<18)[:500_000]
		log = append(log, stream.Message{Offset: int64(i), Timestamp: start, Value: fmt.Appendf(nil, `{"time":%d,"name":"m","value":1,"host":%q}`, start/1e6, host)})
	}
	write(t, store, log, []int{40})
	r, err := open(t, config(store)).Open(t.Context(), partition, 0, decoder(t, "host"))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, r)
	for _, want := range []int{40, 2} {
		in, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := in.Batch.Cols[0].Dict.Len(); in.Batch.Len() != want || got != want {
			t.Fatalf("%d rows and %d strings, want %d", in.Batch.Len(), got, want)
		}
	}
}

func TestAssignEndsWithTheReaders(t *testing.T) {
	store := newMemory()
	write(t, store, simpleLog(0, 20, start), nil)
	source := open(t, config(store))
	err := source.Assign(t.Context(), func(gained, lost []stream.Partition) error {
		if !slices.Equal(gained, []stream.Partition{partition}) || len(lost) > 0 {
			t.Errorf("gained %v, lost %v", gained, lost)
		}
		r, err := source.Open(t.Context(), partition, 0, decoder(t, "host"))
		if err != nil {
			return err
		}
		go func() {
			defer closed(t, r)
			for err = nil; err == nil; {
				_, err = r.Read(context.Background())
			}
		}()
		return nil
	})
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if n, err := source.Partitions(t.Context(), "metrics"); n != 3 || err != nil {
		t.Fatalf("%d partitions, %v; number 2 is there, so there are 3", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var lost []stream.Partition
	err = open(t, config(store)).Assign(ctx, func(_, gone []stream.Partition) error {
		lost = gone
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || len(lost) != 1 {
		t.Fatal(err, lost)
	}
}

func TestProgress(t *testing.T) {
	store := newMemory()
	write(t, store, simpleLog(0, 5, start), nil)
	var read int64
	c := config(store)
	c.Progress = func(n int64) { read += n }
	source := open(t, c)
	r, err := source.Open(t.Context(), partition, 0, decoder(t, "host"))
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, r)
	if _, err := r.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if read == 0 || read != source.Size() {
		t.Fatalf("%d of %d bytes are read", read, source.Size())
	}
}

func TestRefusals(t *testing.T) {
	store := newMemory()
	write(t, store, simpleLog(100, 20, start), []int{10})
	source := open(t, config(store))
	for _, offset := range []int64{0, 99, 121} {
		if _, err := source.Open(t.Context(), partition, offset, decoder(t, "host")); stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), "it holds the offsets 100 to 119") {
			t.Errorf("open at %d: %v", offset, err)
		}
	}
	other := partition
	other.Incarnation = "another"
	if _, err := source.Open(t.Context(), other, 100, decoder(t, "host")); err == nil {
		t.Error("a partition of another incarnation is opened")
	}
	r, err := source.Open(t.Context(), partition, 120, decoder(t, "host"))
	if err != nil {
		t.Fatal(err)
	}
	if rows := readAll(t, r, 120); len(rows) > 0 {
		t.Errorf("the end gives %d rows", len(rows))
	}
	c := config(store)
	c.Since, c.Until = 5, 5
	if _, err := archive.Open(t.Context(), c); err == nil {
		t.Error("an empty time range is accepted")
	}
}

// TestDamage: parts that overlap, files that are missing, renamed or no Parquet files are told apart.
func TestDamage(t *testing.T) {
	name := columnfile.RawName{Topic: "metrics", Partition: 2, First: 0, Last: 2999, Hour: start.Floor(time.Hour)}
	for what, c := range map[string]struct {
		damage func(s *memory)
		says   string
	}{
		"overlap":      {func(s *memory) { write(t, s, simpleLog(5, 20, start), nil) }, "overlaps with that of"},
		"missing hour": {func(s *memory) { delete(s.objects, name.Key()) }, "has 2 files, found are 1"},
		"renamed": {func(s *memory) {
			for _, hour := range []stream.Time{name.Hour, name.Hour.Add(time.Hour)} {
				from, to := name, name
				from.Hour, to.Hour, to.Last = hour, hour, 3000
				s.objects[to.Key()] = s.objects[from.Key()]
				delete(s.objects, from.Key())
			}
		}, "the file was renamed"},
		"no Parquet": {func(s *memory) { s.objects[name.Key()] = []byte("rubbish") }, "the file is damaged"},
	} {
		t.Run(what, func(t *testing.T) {
			store := newMemory()
			write(t, store, simpleLog(0, 3000, start), nil)
			if store.objects[name.Key()] == nil {
				t.Fatalf("%s is missing", name.Key())
			}
			c.damage(store)
			err := readFails(t, store)
			if err == nil || stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v; want %q", err, c.says)
			}
		})
	}
}

func readFails(t *testing.T, store stream.Objects) error {
	t.Helper()
	source, err := archive.Open(t.Context(), config(store))
	if err != nil {
		return err
	}
	r, err := source.Open(t.Context(), partition, 0, decoder(t, "host"))
	if err != nil {
		return err
	}
	defer closed(t, r)
	for err == nil {
		_, err = r.Read(t.Context())
	}
	return err
}

// TestCloseWhileFetching leaves no goroutine behind (see TestMain).
func TestCloseWhileFetching(t *testing.T) {
	store := newMemory()
	write(t, store, simpleLog(0, 3000, start), []int{1000, 2000})
	r, err := open(t, config(store)).Open(t.Context(), partition, 0, decoder(t, "host"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}
