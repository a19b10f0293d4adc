package drain

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

var (
	//go:embed pipelines/w2.yaml
	w2 string
	//go:embed pipelines/w4.yaml
	w4 string
)

// Workload is a kind of work.
type Workload struct {
	Name    string
	nilKeys bool
	text    string   // of the pipeline, with NAME, TOPIC and LATENESS to be put in
	stages  []string // the first one reads the topic
}

// mergeTasks is how many tasks the product makes of a stage that merges what was re-keyed.
const mergeTasks = 4

func workloads() []Workload {
	return []Workload{
		{Name: "W2", text: w2, stages: []string{"main"}},
		{Name: "W4", text: w4, stages: []string{"fold", "merge"}, nilKeys: true},
	}
}

// Find returns the workload of that name.
func Find(name string) (*Workload, error) {
	all := workloads()
	i := slices.IndexFunc(all, func(w Workload) bool { return strings.EqualFold(w.Name, name) })
	if i < 0 {
		return nil, fmt.Errorf("there is no workload %q; there are W2 and W4", name)
	}
	return &all[i], nil
}

// Load is what a topic holds.
type Load struct {
	Topic      string
	Events     int64
	Partitions int32
	Keys       int           // hosts, of which each event has one
	PerSecond  int           // events a second of event time
	Lateness   time.Duration // allowed_lateness of pipelines that read it
	NilKeys    bool
}

// DefaultLoad is that of make bench. No event is too late.
func DefaultLoad(w *Workload, events int64) Load {
	return Load{Topic: "metrics", Events: events, Partitions: 4, Keys: 20_000, PerSecond: 10_000, Lateness: 130 * time.Second, NilKeys: w.nilKeys}
}

// Fill makes the topic. The same load is the same events, but for the time at which they begin: two hours ago, or more where
// that is not enough for all.
func (l *Load) Fill(ctx context.Context, s *bed.Servers) error {
	client, err := s.Producer()
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, l.Partitions, 1, nil, l.Topic); err != nil {
		return fmt.Errorf("create topic %s: %w", l.Topic, err)
	}
	g := generate.Default("bench")
	g.Seed, g.Hosts, g.Partitions, g.NilKeys, g.PerSecond = 7, l.Keys, l.Partitions, l.NilKeys, l.PerSecond
	span := time.Duration(l.Events/int64(l.PerSecond)) * time.Second
	g.Start = stream.TimeOf(time.Now().Add(-max(2*time.Hour, span+time.Hour)).Truncate(time.Second))
	gen, err := generate.New(g)
	if err != nil {
		return err
	}
	var failed error
	for i := range l.Events {
		var e generate.Event
		gen.Event(i, &e)
		client.Produce(ctx, &kgo.Record{Topic: l.Topic, Partition: e.Partition, Key: e.Key, Value: e.Value}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	if err := errors.Join(client.Flush(ctx), failed); err != nil {
		return fmt.Errorf("fill topic %s: %w", l.Topic, err)
	}
	return nil
}

// Remove deletes the topic.
func (l *Load) Remove(ctx context.Context, s *bed.Servers) error {
	client, err := s.Producer()
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopic(ctx, l.Topic); err != nil {
		return fmt.Errorf("delete topic %s: %w", l.Topic, err)
	}
	return nil
}

// Pipeline is one that a worker runs.
type Pipeline struct {
	Name, Text string
	wanted     []bed.Want
}

// Pipeline is that of the workload for a load.
func (w *Workload) Pipeline(l Load) Pipeline { return w.Named(strings.ToLower(w.Name), l) }

// Named is the same under another name, so that several can read one topic.
func (w *Workload) Named(name string, l Load) Pipeline {
	p := Pipeline{Name: name, Text: strings.NewReplacer("NAME", name, "TOPIC", l.Topic, "LATENESS", l.Lateness.String()).Replace(w.text)}
	for i, stage := range w.stages {
		tasks := int(l.Partitions)
		if i > 0 {
			tasks = mergeTasks
		}
		p.wanted = append(p.wanted, bed.Want{Pipeline: name, Stage: stage, Tasks: tasks})
	}
	return p
}
