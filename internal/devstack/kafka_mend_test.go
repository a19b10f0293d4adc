package devstack

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/internal/clock"
)

// crashImage copies the broker's folder as a kill would leave it.
func crashImage(t testing.TB, s *Stack) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(image, os.DirFS(s.Dir())); err != nil {
		t.Fatal(err)
	}
	return image
}

// snapshot reads the snapshot of a partition.
func snapshot(t testing.TB, dir, name string) partitionSnapshot {
	t.Helper()
	var s partitionSnapshot
	if found, err := readJSON(filepath.Join(dir, "kafka/partitions", name, "snapshot.json"), &s); err != nil || !found {
		t.Fatalf("snapshot of %s: %v, %v", name, found, err)
	}
	return s
}

func TestMendWritesWhatTheBrokerWouldHave(t *testing.T) {
	t.Parallel()
	s := start(t, config(t))
	createTopic(t, s, "big", 1, nil)
	createTopic(t, s, "ein/zwei drei", 3, nil)
	fill(t, s, "big", 3)
	k := client(t, s)
	produce(t, k, "ein/zwei drei", 0, "a", "b")
	produce(t, k, "ein/zwei drei", 2, "c")
	image := crashImage(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := mend(filepath.Join(image, "kafka"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(filepath.Join(image, "kafka/partitions"))
	if err != nil || len(names) < 3 {
		t.Fatalf("%d partitions, %v", len(names), err)
	}
	for _, name := range names {
		ours, theirs := snapshot(t, image, name.Name()), snapshot(t, s.Dir(), name.Name())
		if len(theirs.Segments) == 0 {
			continue
		}
		ours.CreatedAt = theirs.CreatedAt // the broker's is the time of the topic
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%s:\n got %+v\nwant %+v", name.Name(), ours, theirs)
		}
	}
	if got := snapshot(t, image, "big-0"); len(got.Segments) < 3 {
		t.Errorf("only %d files in the test", len(got.Segments))
	}
}

// TestMendChangesNothing cuts a folder anywhere, as a kill in the middle of a write or a power failure would, and compares a
// broker that loads what mend left with one that loads the raw folder.
func TestMendChangesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, config(t))
	createTopic(t, s, "events", 1, nil)
	k := client(t, s)
	var values []string
	for i := range 20 {
		values = append(values, fmt.Sprint(i, strings.Repeat("x", i*7)))
	}
	produce(t, k, "events", 0, values...)
	image := crashImage(t, s)
	data, err := os.ReadFile(filepath.Join(image, "kafka/partitions/events-0/0.dat"))
	if err != nil {
		t.Fatal(err)
	}
	load := func(dir string) kfake.PartitionInfo {
		s := start(t, Config{Dir: dir, KafkaListen: "127.0.0.1:0", PostgresDSN: "postgres://given", Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
		info := *s.broker.cluster.PartitionInfo("events", 0)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return info
	}
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		dir := filepath.Join(outer.TempDir(), "cut")
		if err := os.CopyFS(dir, os.DirFS(image)); err != nil {
			t.Fatal(err)
		}
		damaged := bytes.Clone(data[:rapid.IntRange(0, len(data)).Draw(t, "length")])
		if len(damaged) > 0 && rapid.Bool().Draw(t, "flip") {
			damaged[rapid.IntRange(max(0, len(damaged)-200), len(damaged)-1).Draw(t, "where")] ^= 1
		}
		file := filepath.Join(dir, "kafka/partitions/events-0/0.dat")
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		got := load(dir)
		if err := errors.Join(os.WriteFile(file, damaged, 0o600), removeSnapshots(dir)); err != nil {
			t.Fatal(err)
		}
		// A format that mend does not know: it keeps its hands off.
		meta := filepath.Join(dir, "kafka/meta.json")
		if err := os.WriteFile(meta, []byte(`{"version":0,"cluster_id":"x"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if want := load(dir); got != want {
			t.Fatalf("mended %+v, raw %+v", got, want)
		}
	})
}

func removeSnapshots(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "snapshot.json" {
			err = os.Remove(path)
		}
		return err
	})
}

func TestMendLeavesTransactionsToTheBroker(t *testing.T) {
	t.Parallel()
	s := start(t, config(t))
	createTopic(t, s, "events", 1, nil)
	k := client(t, s, kgo.TransactionalID("writer"), kgo.DefaultProduceTopic("events"))
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := k.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := k.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := k.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	image := crashImage(t, s)
	if _, err := mend(filepath.Join(image, "kafka"), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(image, "kafka/partitions/events-0/snapshot.json")); err == nil {
		t.Error("a snapshot without the state of the transactions was written")
	}
	c := config(t)
	c.Dir = image
	again := start(t, c)
	committed := client(t, again, kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"events": {0: kgo.NewOffset().AtStart()}}))
	if got := committed.PollFetches(t.Context()).Records(); len(got) != 1 || got[0].Offset != 0 {
		t.Errorf("committed: %v", got)
	}
}

func TestMendKeepsWhatWasDeletedOnRequest(t *testing.T) {
	t.Parallel()
	c := config(t)
	s := start(t, c)
	createTopic(t, s, "events", 1, nil)
	produce(t, client(t, s), "events", 0, "a", "b", "c")
	if err := s.broker.cluster.DeleteRecords("events", 0, 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, c)
	produce(t, client(t, s), "events", 0, "d")
	c = config(t)
	c.Dir = crashImage(t, s)
	if got := consume(t, start(t, c), "events"); !slices.Equal(got, []string{"2 c", "3 d"}) {
		t.Errorf("the topic has %q", got)
	}
}

func FuzzScan(f *testing.F) {
	good := make([]byte, batchHeaderBytes)
	good[11], good[16] = batchHeaderBytes-12, 2
	f.Add(good)
	f.Add(append(bytes.Clone(good), good[:30]...))
	f.Fuzz(func(t *testing.T, content []byte) {
		p := partition{dir: t.TempDir()}
		s := segment{size: int64(len(content))}
		if err := os.WriteFile(p.file(s), content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := p.scan([]segment{s})
		if err != nil {
			t.Fatal(err)
		}
		if got == nil {
			return
		}
		info, err := os.Stat(p.file(s))
		if err != nil || !got.matches([]segment{{size: info.Size()}}) || info.Size() > s.size || info.Size() < batchHeaderBytes {
			t.Errorf("%+v of a file of %v, %v", got, info, err)
		}
	})
}
