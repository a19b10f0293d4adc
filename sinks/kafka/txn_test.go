package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// transactions is an output in transactions on a topic of one partition.
type transactions struct {
	e      *env
	config TransactionConfig
	life   *streamtest.Life
}

func (e *env) transactions(t testing.TB) *transactions {
	t.Helper()
	in := e.topic(t, 1)
	e.awaitGroups(t, in)
	life := streamtest.NewLife(streamtest.NewWorld(), nil)
	c := TransactionConfig{Task: task, Topic: e.topic(t, 1), Output: "w", Group: testservers.Name("group"), Objects: life.Objects()}
	c.Task.Partition.Topic, c.Task.Partition.Number = in, 0
	return &transactions{e, c, life}
}

func (x *transactions) open(t testing.TB) *TransactionSink {
	t.Helper()
	s := x.e.client(t).NewTransactionSink(x.config)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// stage writes a row at an offset, and ends the epoch.
func stageRow(t testing.TB, s *TransactionSink, offset int64, host string) stream.Receipt {
	t.Helper()
	if err := s.Write(testContext(t), rows(stream.Event, stream.Version{Offset: offset}, host)); err != nil {
		t.Fatal(err)
	}
	receipt, err := s.Stage(stream.Epoch{Prefix: fmt.Sprintf("state/%d/", offset)})(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func reveal(t testing.TB, s *TransactionSink, r stream.Receipt) {
	t.Helper()
	if err := s.Reveal(testContext(t), r); err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsCommittedToAnUnknownPartition: the producer would abort instead, and say nothing.
func TestNothingIsCommittedToAnUnknownPartition(t *testing.T) {
	c := newCluster(t)
	var ends atomic.Int32
	c.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		ends.Add(1)
		return nil, nil, false
	})
	x := newEnv(t, c.ListenAddrs()).transactions(t)
	s := x.open(t)
	receipt := stageRow(t, s, 1, "a")
	parsed, err := parseTransactionReceipt(receipt)
	if err != nil {
		t.Fatal(err)
	}
	if s.session, err = s.begin(testContext(t), parsed); err != nil {
		t.Fatal(err)
	}
	knows, asked := s.session.knows, 0
	s.session.knows = func(partition int32) bool {
		if n := ends.Load(); n > 0 {
			t.Errorf("%d transactions have ended", n)
		}
		asked++
		return asked > 3 && knows(partition)
	}
	reveal(t, s, receipt)
	if n := ends.Load(); n != 1 || asked < 4 {
		t.Errorf("%d transactions have ended, want 1; asked %d times", n, asked)
	}
}

// TestAGroupThatHasExpired: what it said is read from the topic instead.
func TestAGroupThatHasExpired(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		x := e.transactions(t)
		first := x.open(t)
		receipts := []stream.Receipt{stageRow(t, first, 1, "a"), stageRow(t, first, 2, "b")}
		for _, r := range receipts {
			reveal(t, first, r)
		}
		if done, err := e.admin.DeleteGroups(testContext(t), x.config.id()); err != nil || done.Error() != nil {
			t.Fatal(err, done.Error())
		}
		for range 2 {
			next := x.open(t)
			for _, r := range receipts {
				reveal(t, next, r)
			}
			receipts = append(receipts, stageRow(t, next, int64(len(receipts)+1), "c"))
			reveal(t, next, receipts[len(receipts)-1])
		}
		if rs, _ := e.committed(t, x.config.Topic, 0); len(rs) != 4 {
			t.Errorf("%d rows are there, want 4", len(rs))
		}
	})
}

// TestRowsMayShowAnEarlierState: where windows close by a merge, the rows show the state before the record, and leave behind it.
func TestRowsMayShowAnEarlierState(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		x := e.transactions(t)
		s := x.open(t)
		for i, phase := range []stream.Phase{stream.Closed, stream.Final, stream.Closed, stream.Final} {
			b := rows(phase, stream.Version{Offset: 80}, fmt.Sprint("host-", i))
			if phase == stream.Closed {
				b.Version.Offset--
			}
			if err := s.Write(testContext(t), b); err != nil {
				t.Fatal(err)
			}
		}
		receipt, err := s.Stage(stream.Epoch{Prefix: "state/x/"})(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		reveal(t, s, receipt)
		reveal(t, x.open(t), receipt)
		rs, _ := e.committed(t, x.config.Topic, 0)
		for i, r := range rs {
			if !strings.Contains(string(r.Value), fmt.Sprint("host-", i)) {
				t.Errorf("row %d is %s", i, r.Value)
			}
		}
		if len(rs) != 4 {
			t.Errorf("%d rows are there, want 4", len(rs))
		}
	})
}

// TestALargeEpoch leaves in several transactions; the second one fails, and is begun anew.
func TestALargeEpoch(t *testing.T) {
	c := newCluster(t)
	e := newEnv(t, c.ListenAddrs())
	x := e.transactions(t)
	s := x.open(t)
	const n = 90
	var want []string
	for i := range int64(n) {
		b := rows(stream.Event, stream.Version{Offset: i}, strings.Repeat(fmt.Sprint(i%10), 250_000))
		want = append(want, string(new(rowTexts).append(nil, b, 0)))
		if err := s.Write(testContext(t), b); err != nil {
			t.Fatal(err)
		}
	}
	receipt, err := s.Stage(stream.Epoch{Prefix: "state/x/"})(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var ends atomic.Int32
	c.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if ends.Add(1) == 2 {
			return nil, errors.New("cut"), true
		}
		return nil, nil, false
	})
	for s.Reveal(testContext(t), receipt) != nil {
	}
	rs, _ := e.committed(t, x.config.Topic, 0)
	if len(rs) != n || ends.Load() < 4 {
		t.Fatalf("%d rows are there, want %d; %d transactions ended", len(rs), n, ends.Load())
	}
	for i := range rs {
		if string(rs[i].Value) != want[i] {
			t.Fatalf("row %d is another", i)
		}
	}
}

// TestATopicThatTakesNothing stops who writes, when many epochs wait for it; each is staged, so that rows of tasks stay small.
func TestATopicThatTakesNothing(t *testing.T) {
	e := newEnv(t, newCluster(t).ListenAddrs())
	x := e.transactions(t)
	s := x.open(t)
	var all []stream.Receipt
	for i := range int64(maxUnrevealed) {
		all = append(all, stageRow(t, s, i, "a"))
	}
	if len(all[0]) < len(all[1])/2 || strings.Contains(string(all[1]), `"data"`) {
		t.Errorf("%s is not staged", all[1])
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	next := rows(stream.Event, stream.Version{Offset: maxUnrevealed}, "a")
	if err := s.Write(stopped, next); !errors.Is(err, context.Canceled) {
		t.Errorf("one more row is taken: %v", err)
	}
	reveal(t, s, all[0])
	if err := s.Write(stopped, next); err != nil {
		t.Errorf("no row is taken, though an epoch was revealed: %v", err)
	}
}

// TestAFullEpoch asks for an end.
func TestAFullEpoch(t *testing.T) {
	e := newEnv(t, newCluster(t).ListenAddrs())
	s := e.transactions(t).open(t)
	n := int64(0)
	for ; !s.Full(); n++ {
		if n > fullRawBytes/200_000+1 {
			t.Fatal("it is never full")
		}
		if err := s.Write(testContext(t), rows(stream.Event, stream.Version{Offset: n}, strings.Repeat("x", 200_000))); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := s.Size(); b > fullBytes+blockBytes {
		t.Errorf("%d bytes are held", b)
	}
	if s.Stage(stream.Epoch{}); s.Full() {
		t.Error("the next epoch is full")
	}
}

func TestRowsThatGoBackAreRefused(t *testing.T) {
	e := newEnv(t, newCluster(t).ListenAddrs())
	s := e.transactions(t).open(t)
	stageRow(t, s, 7, "a")
	wantKind(t, s.Write(testContext(t), rows(stream.Event, stream.Version{Offset: 6}, "b")), stream.Fatal, "follows")
}

func TestATopicThatIsNotThere(t *testing.T) {
	onBoth(t, func(e *env) {
		x := e.transactions(e.t)
		x.config.Topic = testservers.Name("none")
		s := x.open(e.t)
		if err := s.Write(testContext(e.t), rows(stream.Event, stream.Version{Offset: 1}, "a")); err != nil {
			e.t.Fatal(err)
		}
		_, err := s.Stage(stream.Epoch{})(testContext(e.t))
		wantKind(e.t, err, stream.Retry, x.config.Topic, "create it")
	})
}

func TestDamagedStagedRows(t *testing.T) {
	rowCodec, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	h := heldRows{codec: rowCodec}
	h.add(&row{rowName: rowName{phase: stream.Event, at: stream.Version{Offset: 300}, index: 2}, value: []byte(`{"a":1}`)})
	data := h.staged()
	var got *row
	if err := rowCodec.eachRow(data, func(r *row) error { got = r; return nil }); err != nil || got.at.Offset != 300 || got.index != 2 || string(got.value) != `{"a":1}` {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 0x10
		err := rowCodec.eachRow(bad, func(r *row) error {
			if string(r.value) != `{"a":1}` {
				return errors.New("another row")
			}
			return nil
		})
		if err != nil && err.Error() == "another row" {
			t.Errorf("the flipped bit in byte %d is not found", i)
		}
		if err := rowCodec.eachRow(data[:i], func(*row) error { return nil }); i > 0 && i != len(stagedMagic) && err == nil {
			t.Errorf("%d of %d bytes are read", i, len(data))
		}
	}
}
