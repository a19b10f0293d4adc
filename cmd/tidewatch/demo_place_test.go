package main

import (
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/devstack"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

// startBroker starts an embedded broker with nothing on it.
func startBroker(t *testing.T) []string {
	t.Helper()
	stack, err := devstack.Start(t.Context(), devstack.Config{
		Ephemeral: true, KafkaListen: "127.0.0.1:0", PostgresDSN: "postgres://nobody", Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Close(); err != nil {
			t.Error(err)
		}
	})
	return stack.Brokers()
}

// begun is a simulation that has begun.
func begun(t *testing.T, brokers []string) *simulation {
	t.Helper()
	var s simulation
	if err := s.begin(t.Context(), brokers); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return &s
}

// produceForeign sends so many records to each partition that no demo has made.
func produceForeign(t *testing.T, client *kgo.Client, topic string, each int) {
	t.Helper()
	var records []*kgo.Record
	for i := range each * demoPartitions {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % demoPartitions), Value: []byte(`{"name":"foreign"}`)})
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// TestTheSimulationGoesOnWhereItStopped: what others produce meanwhile does not move it, however much that is.
func TestTheSimulationGoesOnWhereItStopped(t *testing.T) {
	brokers := startBroker(t)
	before := begun(t, brokers)
	const produced = 40
	for _, l := range before.lives {
		l.run.events, l.run.began, l.run.rate = produced, time.Time{}, 0
		if err := produce(t.Context(), before.client, l.generator, l.run); err != nil {
			t.Fatal(err)
		}
		produceForeign(t, before.client, l.run.topic, 2*placeSpan)
	}
	now := clock.System{}.Now()
	for i, l := range begun(t, brokers).lives {
		if want := before.lives[i].run.first + produced; l.run.first != want {
			t.Errorf("%s goes on at event %d, want %d", l.run.topic, l.run.first, want)
		}
		if at := l.generator.Time(l.run.first).Go(); at.Before(now) || at.Sub(now) > time.Minute {
			t.Errorf("%s goes on at %s, now is %s", l.run.topic, at, now)
		}
	}
}

// TestTheSimulationOnATopicOfOthers: there is no history, which would be late there, and the incidents come as soon as behind one.
func TestTheSimulationOnATopicOfOthers(t *testing.T) {
	brokers := startBroker(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := prepareTopic(t.Context(), client, &genFlags{Config: generate.Config{Partitions: demoPartitions}}, "metrics"); err != nil {
		t.Fatal(err)
	}
	produceForeign(t, client, "metrics", 3)
	s := begun(t, brokers)
	if metrics := s.lives[0].run; metrics.topic != "metrics" || metrics.first == 0 {
		t.Errorf("on a topic of others it begins with event %d of %s", metrics.first, metrics.topic)
	}
	if n, found, err := nextPlace(t.Context(), brokers, "metrics", demoSim); n != 0 || found || err != nil {
		t.Errorf("it has produced %d events there: %v, %v", n, found, err)
	}
	if n, found, err := nextPlace(t.Context(), brokers, "security", demoSim); n != s.lives[1].run.first || !found || err != nil {
		t.Errorf("the history of the empty topic ends at %d, the next event is %d: %v, %v", n, s.lives[1].run.first, found, err)
	}
}

// TestTheTrailGoesOnWhereItStopped: with the record behind the last one, and behind the last of all with another round.
func TestTheTrailGoesOnWhereItStopped(t *testing.T) {
	brokers := startBroker(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := prepareTopic(t.Context(), client, &genFlags{Config: generate.Config{Partitions: demoPartitions}}, "security"); err != nil {
		t.Fatal(err)
	}
	all := make([]trailEvent, 5)
	for i := range all {
		all[i] = trailEvent{at: stream.Time(i), user: []byte{byte(i)}, rest: []byte(`,"n":` + strconv.Itoa(i) + "}")}
	}
	want := int64(0)
	for _, c := range []struct {
		round []trailEvent
		after int64
	}{{all[:2], 2}, {all, 5}, {all, 10}} {
		next, _, err := nextPlace(t.Context(), brokers, "security", demoTrail)
		if err != nil || next != want {
			t.Fatalf("it goes on at %d, want %d: %v", next, want, err)
		}
		if want, err = playRound(t.Context(), client, c.round, next); err != nil || want != c.after {
			t.Fatalf("from %d it has played up to %d, want %d: %v", next, want, c.after, err)
		}
	}
}
