package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/stream"
)

// TestRowsThatATopicRefusesAreParked: the topic takes small records only. Rows around a large one, which share its batch,
// arrive; the large ones become letters before Stage's work returns, and can be read with all that a retry needs.
func TestRowsThatATopicRefusesAreParked(t *testing.T) {
	e := newEnv(t, testservers.Kafka(t))
	topic, pipeline := testservers.Name("out"), testservers.Name("pipe")
	small := "1000"
	if _, err := e.admin.CreateTopic(testContext(t), 1, 1, map[string]*string{"max.message.bytes": &small}, topic); err != nil {
		t.Fatal(err)
	}
	e.create(t, DeadLetterTopic, 1)
	c := e.client(t)
	letters := c.NewDeadLetters(task, pipeline)
	s := c.NewSink(task, topic)
	s.ParkWith("kafka.cpu", func(ctx context.Context, r *stream.Rejected) error { return letters.Write(ctx, []stream.Rejected{*r}) })
	at := stream.Version{Offset: 8, Step: 2}
	var hosts []string
	for i := range 20 {
		hosts = append(hosts, fmt.Sprint("web-", i))
	}
	// No codec makes these small.
	noise := func(n int) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, "%x", uint64(i+n)*0x9e3779b97f4a7c15)
		}
		return b.String()
	}
	hosts[3], hosts[11] = noise(5000), noise(3000)
	if err := s.Write(testContext(t), rows(stream.Closed, at, hosts...)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(stream.Epoch{})(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := letters.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, r := range e.written(t, topic, 18) {
		there = append(there, header(r, HeaderIndex))
	}
	slices.Sort(there)
	if there = slices.Compact(there); len(there) != 18 || slices.Contains(there, "3") || slices.Contains(there, "11") {
		t.Fatalf("rows %v arrived", there)
	}
	ds := e.letters(t, pipeline)
	if len(ds) != 2 {
		t.Fatalf("%d letters", len(ds))
	}
	slices.SortFunc(ds, func(a, b *DeadRecord) int { return strings.Compare(b.Row.Name, a.Row.Name) })
	d := ds[0]
	want := Row{Sink: KafkaRow, Output: "kafka.cpu", Target: topic, Name: "closed/8/2/3", Task: task.String(), Phase: "closed", Step: "2"}
	if d.Row == nil || *d.Row != want || d.Offset != 8 || d.Rejections[0].Kind != "parked" || !strings.Contains(string(d.Raw), hosts[3]) ||
		!strings.Contains(d.Rejections[0].Reason, "MESSAGE_TOO_LARGE") || !strings.Contains(d.Rejections[0].Reason, "raise max.message.bytes") {
		t.Fatalf("%+v %+v", d.Row, d.Rejections)
	}
	// The task goes on.
	if err := s.Write(testContext(t), rows(stream.Closed, stream.Version{Offset: 9}, "web-1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(stream.Epoch{})(testContext(t)); err != nil {
		t.Fatal(err)
	}
	e.written(t, topic, 19)
}

// TestACompactedTopicRefusesRowsWithoutKey: every row is refused, and parked.
func TestACompactedTopicRefusesRowsWithoutKey(t *testing.T) {
	e := newEnv(t, testservers.Kafka(t))
	topic := testservers.Name("out")
	compact := "compact"
	if _, err := e.admin.CreateTopic(testContext(t), 1, 1, map[string]*string{"cleanup.policy": &compact}, topic); err != nil {
		t.Fatal(err)
	}
	s := e.client(t).NewSink(task, topic)
	var parked []*stream.Rejected
	s.ParkWith("kafka.cpu", func(_ context.Context, r *stream.Rejected) error { parked = append(parked, r); return nil })
	if err := s.Write(testContext(t), rows(stream.Closed, stream.Version{Offset: 8}, "a", "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(stream.Epoch{})(testContext(t)); err != nil || len(parked) != 2 || !strings.Contains(parked[0].Reason, "INVALID_RECORD") {
		t.Fatal(err, parked)
	}
}

// TestOtherRefusalsAreErrors: a topic that does not exist is nobody's row.
func TestOtherRefusalsAreErrors(t *testing.T) {
	e := newEnv(t, newCluster(t).ListenAddrs())
	s := e.client(t).NewSink(task, "not there")
	s.ParkWith("kafka.cpu", func(context.Context, *stream.Rejected) error { t.Error("parked"); return nil })
	if err := s.Write(testContext(t), rows(stream.Closed, stream.Version{Offset: 8}, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(stream.Epoch{})(testContext(t)); err == nil {
		t.Fatal("no error")
	}
}
