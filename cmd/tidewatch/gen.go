package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sources/generate"
	"github.com/tidewatch/tidewatch/stream"
)

// genFlags are what gen is told.
type genFlags struct {
	generate.Config
	events  int64
	rate    int64
	to      string
	labels  string
	start   string
	brokers []string
}

func (a *app) genCommand() *cobra.Command {
	f := genFlags{Config: generate.Default("hosts")}
	names, about := generate.Names()
	var list strings.Builder
	for i := range names {
		fmt.Fprintf(&list, "  %-8s %s\n", names[i], about[i])
	}
	c := &cobra.Command{
		Use: "gen", Short: "Generate events with planted incidents", Args: cobra.NoArgs,
		Long: "Generates events. Event i is a function of seed and i; pointed at a topic that has some already, it goes on where\n" +
			"the topic ends.\n\nScenarios:\n" + list.String(),
		Example: "  tidewatch gen --scenario logins --seed 7 --events 100000 --to kafka:security\n" +
			"  tidewatch gen --scenario hosts --hosts 20 --events 5000 --to events.jsonl --labels truth.jsonl",
		RunE: func(c *cobra.Command, _ []string) error { return a.gen(c.Context(), &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.Scenario, "scenario", f.Scenario, "scenario: "+strings.Join(names, ", "))
	fl.Uint64Var(&f.Seed, "seed", f.Seed, "seed")
	fl.Int64Var(&f.events, "events", 10_000, "number of events")
	fl.Int64Var(&f.rate, "rate", 0, "events a second; 0 as fast as possible")
	fl.IntVar(&f.Hosts, "hosts", f.Hosts, "hosts of metric scenarios")
	fl.IntVar(&f.Users, "users", f.Users, "users of security scenarios")
	fl.Int32Var(&f.Partitions, "partitions", 4, "partitions of the topic, if it has to be created")
	fl.BoolVar(&f.NilKeys, "nil-keys", false, "do not key the records, spread them over all partitions")
	fl.StringVar(&f.start, "start", "", "event time of event 0 (RFC 3339); default so that the last event is now")
	fl.IntVar(&f.PerSecond, "per-second", 0, "events a second of event time; 0 is the scenario's own rate")
	fl.StringVar(&f.to, "to", "", "kafka:TOPIC or a file, - for standard output")
	fl.StringVar(&f.labels, "labels", "", "file for the ground truth: a line for each event of an incident")
	fl.StringSliceVar(&f.brokers, "brokers", nil, "Kafka brokers; default from the configuration, else 127.0.0.1:9092")
	return c
}

func (a *app) gen(ctx context.Context, f *genFlags) error {
	if f.to == "" {
		return fail(exitUsage, errors.New("say where to: --to kafka:TOPIC or --to FILE"))
	}
	if f.start != "" {
		t, err := time.Parse(time.RFC3339Nano, f.start)
		if err != nil {
			return fail(exitUsage, fmt.Errorf("--start: %q is not a time such as 2026-01-01T00:00:00Z", f.start))
		}
		f.Start = stream.TimeOf(t)
	}
	labels := io.Discard
	if f.labels != "" {
		file, err := os.Create(f.labels)
		if err != nil {
			return fmt.Errorf("create labels: %w", err)
		}
		defer file.Close()
		labels = file
	}
	buffered := bufio.NewWriter(labels)
	var err error
	if topic, ok := strings.CutPrefix(f.to, "kafka:"); ok {
		err = a.genKafka(ctx, f, topic, buffered)
	} else {
		err = a.genFile(ctx, f, buffered)
	}
	return errors.Join(err, buffered.Flush())
}

// note writes the label of an event, if it has one.
func note(w io.Writer, i int64, e *generate.Event) error {
	if e.Label == "" {
		return nil
	}
	return json.NewEncoder(w).Encode(map[string]any{"i": i, "time": e.Time.String(), "label": e.Label, "key": string(e.Key), "partition": e.Partition})
}

func (a *app) genFile(ctx context.Context, f *genFlags, labels io.Writer) (err error) {
	g, err := generate.New(f.Config)
	if err != nil {
		return fail(exitUsage, err)
	}
	out := a.out
	if f.to != "-" {
		file, err := os.Create(f.to)
		if err != nil {
			return fmt.Errorf("create output: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	}
	w := bufio.NewWriterSize(out, 1<<20)
	pace := newPace(f.rate)
	var e generate.Event
	for i := range f.events {
		if err := pace.wait(ctx, i); err != nil {
			return err
		}
		g.Event(i, &e)
		if _, err := w.Write(append(e.Value, '\n')); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		if err := note(labels, i, &e); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (a *app) genKafka(ctx context.Context, f *genFlags, topic string, labels io.Writer) error {
	if len(f.brokers) == 0 {
		f.brokers = a.brokers()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...), kgo.ClientID("tidewatch-gen"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(50_000),
		kgo.DisableClientMetrics())
	if err != nil {
		return fail(exitUsage, fmt.Errorf("open Kafka client: %w", err))
	}
	defer client.Close()
	first, err := prepareTopic(ctx, client, f, topic)
	if err != nil {
		return fail(exitDependency, err)
	}
	if f.start == "" { // the history ends now
		f.Start = stream.TimeOf(clock.System{}.Now())
		if g, err := generate.New(f.Config); err == nil && f.rate == 0 {
			var e generate.Event
			g.Event(first+f.events, &e)
			f.Start -= e.Time - f.Start
		}
	}
	g, err := generate.New(f.Config)
	if err != nil {
		return fail(exitUsage, err)
	}
	if err := produce(ctx, client, g, genRun{topic: topic, first: first, events: f.events, rate: f.rate, labels: labels}); err != nil {
		return fail(exitDependency, err)
	}
	if !a.quiet {
		fmt.Fprintf(a.errs, "%d events of scenario %s, numbers %d to %d, are in topic %s\n", f.events, f.Scenario, first, first+f.events-1, topic)
	}
	return nil
}

// prepareTopic creates the topic if need be, adopts its number of partitions, and returns the number of the next event:
// how many records it has been given so far.
func prepareTopic(ctx context.Context, client *kgo.Client, f *genFlags, topic string) (first int64, err error) {
	adm := kadm.NewClient(client)
	details, err := adm.ListTopics(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("ask %s for topic %s: %w", strings.Join(f.brokers, ","), topic, err)
	}
	if !details.Has(topic) {
		if _, err := adm.CreateTopic(ctx, f.Partitions, -1, nil, topic); err != nil {
			return 0, fmt.Errorf("create topic %s: %w", topic, err)
		}
		return 0, nil
	}
	f.Partitions = int32(len(details[topic].Partitions))
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("ask for the end of topic %s: %w", topic, err)
	}
	ends.Each(func(o kadm.ListedOffset) { first += o.Offset })
	return first, nil
}

// genRun is a span of events on their way into a topic.
type genRun struct {
	topic         string
	origin        string // the demo that the events are of, told by an attribute and a header; "" adds none
	first, events int64
	rate          int64
	began         time.Time // when the first event is due; the zero time is now
	labels        io.Writer
}

// produce sends events and returns when the broker has them all.
func produce(ctx context.Context, client *kgo.Client, g *generate.Generator, r genRun) error {
	failed := make(chan error, 1)
	pace := newPace(r.rate)
	if !r.began.IsZero() {
		pace.began = r.began
	}
	for i := r.first; i < r.first+r.events; i++ {
		if err := pace.wait(ctx, i-r.first); err != nil {
			return err
		}
		select {
		case err := <-failed:
			return fmt.Errorf("produce to %s: %w", r.topic, err)
		default:
		}
		var e generate.Event
		g.Event(i, &e)
		if err := note(r.labels, i, &e); err != nil {
			return err
		}
		var headers []kgo.RecordHeader
		if r.origin != "" {
			e.Value = append(e.Value[:len(e.Value)-1], `,"origin":"`+r.origin+`"}`...)
			headers = place(r.origin, i)
		}
		rec := &kgo.Record{Topic: r.topic, Partition: e.Partition, Key: e.Key, Value: e.Value, Headers: headers}
		client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("flush topic %s: %w", r.topic, err)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("produce to %s: %w", r.topic, err)
	default:
		return nil
	}
}

// pace keeps a rate, looking at the clock every hundredth of a second of it.
type pace struct {
	rate, every int64
	began       time.Time
}

func newPace(rate int64) *pace {
	return &pace{rate: rate, every: max(rate/100, 1), began: clock.System{}.Now()}
}

// wait returns when event n is due.
func (p *pace) wait(ctx context.Context, n int64) error {
	if p.rate <= 0 || n%p.every != 0 {
		return ctx.Err()
	}
	due := p.began.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-clock.System{}.After(due.Sub(clock.System{}.Now())):
		return nil
	}
}
