package kafka

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// letters reads the dead letters of a pipeline: a shared broker has those of other tests, too.
func (e *env) letters(t testing.TB, pipeline string) (ds []*DeadRecord) {
	t.Helper()
	all, err := ReadDeadRecords(testContext(t), e.config())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if slices.ContainsFunc(d.Rejections, func(r Rejection) bool { return r.Pipeline == pipeline }) {
			ds = append(ds, d)
		}
	}
	slices.SortStableFunc(ds, func(a, b *DeadRecord) int { return int(a.Offset - b.Offset) })
	return ds
}

func bury(t testing.TB, e *env, pipeline string, task stream.TaskID, dead ...stream.Rejected) {
	t.Helper()
	d := e.client(t).NewDeadLetters(task, pipeline)
	if err := errors.Join(d.Write(testContext(t), dead), d.Flush(testContext(t)), d.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestNoTopicHoldsNoDeadLetters(t *testing.T) {
	e := newEnv(t, newCluster(t).ListenAddrs())
	if ds := e.letters(t, "p"); ds != nil {
		t.Fatal(ds)
	}
	e.create(t, DeadLetterTopic, 2)
	if ds := e.letters(t, "p"); ds != nil {
		t.Fatal(ds)
	}
}

func TestDeadLettersComeBackAsTheyWere(t *testing.T) {
	onBoth(t, func(e *env) {
		t := e.t
		e.create(t, DeadLetterTopic, 3)
		pipeline := testservers.Name("pipe")
		binary := make([]byte, 3000)
		_, _ = rand.NewChaCha8([32]byte{1}).Read(binary)
		long := bytes.Repeat(binary, 500)
		at := stream.TimeOf(time.Date(2026, 11, 24, 5, 0, 0, 1000, time.UTC))
		dead := []stream.Rejected{
			{Offset: 5, Timestamp: at, Reason: "invalid_json: é", Key: []byte("k"), Raw: binary},
			{Offset: 6, Timestamp: at, Reason: strings.Repeat("é", 5000), Raw: long},
			{Offset: 7, Timestamp: at, Reason: "empty"},
		}
		bury(t, e, pipeline, task, dead...)
		bury(t, e, pipeline, task, dead[:2]...) // a restarted task repeats itself
		again := task
		again.Partition.Incarnation = "another" // the topic was made anew: another record at the same offset
		bury(t, e, pipeline, again, dead[0])
		ds := e.letters(t, pipeline)
		if len(ds) != 4 {
			t.Fatalf("%d letters, want 4", len(ds))
		}
		d := ds[0]
		if d.Topic != "in" || d.Partition != 3 || d.Offset != 5 || len(d.Rejections) != 1 || d.Rejections[0].Reason != "invalid_json: é" || d.Timestamp != at.String() || d.Size != 3000 ||
			string(d.Key) != "k" || !bytes.Equal(d.Raw, binary) || d.Incarnation == ds[1].Incarnation || d.Rejections[0].Written.IsZero() {
			t.Fatalf("%s/%d/%d: %s, %d of %d bytes", d.Topic, d.Partition, d.Offset, d.Rejections[0].Reason, len(d.Raw), d.Size)
		}
		d = ds[2] // what no broker takes whole is cut, and says so
		reason := d.Rejections[0].Reason
		if d.Offset != 6 || d.Size != len(long) || len(d.Raw) != wholeBytes || !bytes.HasPrefix(long, d.Raw) || len(reason) > reasonBytes ||
			strings.ToValidUTF8(reason, "") != reason {
			t.Fatalf("offset %d, size %d, %d bytes, reason of %d", d.Offset, d.Size, len(d.Raw), len(reason))
		}
		if d = ds[3]; d.Offset != 7 || len(d.Raw) != 0 || d.Size != 0 {
			t.Fatalf("%+v", d)
		}
	})
}

func TestALetterSaysWhatItIsAbout(t *testing.T) {
	e := newEnv(t, newCluster(t).ListenAddrs())
	e.create(t, DeadLetterTopic, 1)
	stack := "goroutine 7 [running]:\n" + strings.Repeat("operators/window.(*Fold).Process\n", 5000)
	bury(t, e, "p", task,
		stream.Rejected{Offset: 1, Reason: "invalid_json"},
		stream.Rejected{Offset: 2, Kind: stream.LetterQuarantined, Reason: "panic: index out of range", Detail: stack, Raw: bytes.Repeat([]byte("x"), wholeBytes)})
	ds := e.letters(t, "p")
	if r := ds[0].Rejections[0]; r.Kind != "rejected" || r.Detail != "" {
		t.Fatalf("%+v", r)
	}
	if r := ds[1].Rejections[0]; r.Kind != "quarantined" || len(r.Detail) != detailBytes || !strings.HasPrefix(stack, r.Detail) || ds[1].Size != wholeBytes {
		t.Fatalf("%s, %d of detail, %d of value", r.Kind, len(r.Detail), ds[1].Size)
	}
}

// Letters that were written before letters had kinds.
func TestOldLettersAreAboutRejectedRecords(t *testing.T) {
	d, handling := letter(&kgo.Record{Value: []byte("{broken"), Headers: []kgo.RecordHeader{
		{Key: headerPipeline, Value: []byte("p")},
		{Key: headerTopic, Value: []byte("in")},
		{Key: headerPartition, Value: []byte("3")},
		{Key: HeaderOffset, Value: []byte("5")},
		{Key: headerReason, Value: []byte("invalid_json")},
		{Key: HeaderPhase, Value: []byte("rejected")},
	}})
	if r := d.Rejections[0]; handling != nil || d.Place() != "in/3/5" || r.Kind != "rejected" || r.Reason != "invalid_json" {
		t.Fatalf("%+v", d)
	}
}

func TestDeletedDeadLetters(t *testing.T) {
	c := newCluster(t)
	e := newEnv(t, c.ListenAddrs())
	e.create(t, DeadLetterTopic, 1)
	bury(t, e, "p", task, stream.Rejected{Offset: 1}, stream.Rejected{Offset: 2}, stream.Rejected{Offset: 3})
	if err := c.DeleteRecords(DeadLetterTopic, 0, 2); err != nil {
		t.Fatal(err)
	}
	if ds := e.letters(t, "p"); len(ds) != 1 || ds[0].Offset != 3 {
		t.Fatalf("%+v", ds)
	}
}
