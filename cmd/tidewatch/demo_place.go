package main

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A demo goes on where it stopped. How far it was stands in its own records, since others produce to the same topics, and the
// broker forgets old records: each has a header with the name of the demo and the number of the event, which grows.

// placeHeader is the key of the header.
const placeHeader = "tidewatch-demo"

// place is the header of event n of a demo.
func place(demo string, n int64) []kgo.RecordHeader {
	return []kgo.RecordHeader{{Key: placeHeader, Value: strconv.AppendInt([]byte(demo+" "), n, 10)}}
}

// demoNumber is the number of the event if the record is one of the demo.
func demoNumber(r *kgo.Record, demo string) (n int64, ok bool) {
	for _, h := range r.Headers {
		if h.Key != placeHeader {
			continue
		}
		name, number, _ := strings.Cut(string(h.Value), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		return n, err == nil && name == demo
	}
	return 0, false
}

const (
	// placeSpan is how many records of a partition are looked at first. A demo that has just stopped is among them.
	placeSpan = 500
	// placeGrowth is by how much further back every next look goes.
	placeGrowth = 8
	// placeWithin bounds the search, which reads everything if the demo never ran.
	placeWithin = time.Minute
)

// stretch is a part of a partition.
type stretch struct{ from, to int64 }

// nextPlace is the number of the demo's next event: one above the highest on the topic. It is not found if the topic has no
// event of the demo.
func nextPlace(ctx context.Context, brokers []string, topic, demo string) (next int64, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, placeWithin)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("tidewatch-demo"), kgo.DisableClientMetrics())
	if err != nil {
		return 0, false, fmt.Errorf("open demo: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, false, fmt.Errorf("ask where %s begins: %w", topic, err)
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, false, fmt.Errorf("ask where %s ends: %w", topic, err)
	}
	look := map[int32]stretch{} // every partition until an event is found there, or its beginning is reached
	ends.Each(func(o kadm.ListedOffset) { look[o.Partition] = stretch{o.Offset, o.Offset} })
	for size := int64(placeSpan); ; size *= placeGrowth {
		for p, s := range look {
			start, _ := starts.Lookup(topic, p)
			s = stretch{max(start.Offset, s.from-size), s.from}
			if look[p] = s; s.from >= s.to {
				delete(look, p)
			}
		}
		if len(look) == 0 {
			return next, found, nil
		}
		err := readStretches(ctx, brokers, topic, look, func(r *kgo.Record) {
			if n, ok := demoNumber(r, demo); ok {
				next, found = max(next, n+1), true
				delete(look, r.Partition)
			}
		})
		if err != nil {
			return 0, false, fmt.Errorf("look where the demo %s stopped on %s: %w", demo, topic, err)
		}
	}
}

// readStretches reads the records of the stretches.
func readStretches(ctx context.Context, brokers []string, topic string, stretches map[int32]stretch, take func(*kgo.Record)) error {
	offsets := map[int32]kgo.Offset{}
	for p, s := range stretches {
		offsets[p] = kgo.NewOffset().At(s.from)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ClientID("tidewatch-demo"), kgo.DisableClientMetrics(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer client.Close()
	for left := maps.Clone(stretches); len(left) > 0; {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			s, open := left[r.Partition]
			if open && r.Offset < s.to {
				take(r)
			}
			if r.Offset >= s.to-1 {
				delete(left, r.Partition)
			}
		})
	}
	return nil
}
