package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/benchmarks/oracle"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

// lab is what all runs share: servers, programs, and what was measured.
type lab struct {
	o                  *options
	dir                string
	servers            *bed.Servers
	client             *kgo.Client // of the producer; its records name their partition
	admin              *kadm.Client
	java, javaVersion  string
	classes            map[string]string // class path by job
	python             string
	product            string
	commit             string
	cores, runs, wrong int
	lines              []line
}

// openLab gets what the engines need, and starts the servers.
func openLab(ctx context.Context, o *options, chosen []engine) (l *lab, err error) {
	l = &lab{o: o, dir: o.dir, classes: map[string]string{}, cores: runtime.NumCPU()}
	if l.commit, err = bed.Commit(ctx, ""); err != nil {
		return nil, err
	}
	cache, err := testservers.Cache()
	if err != nil {
		return nil, err
	}
	for _, e := range chosen {
		if err := l.prepare(ctx, cache, e.job); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", e.name, err)
		}
	}
	if _, err := testservers.FindPython(cache); err != nil { // before the topic is filled
		return nil, err
	}
	kafka := testservers.KafkaOptions{HeapMB: 1024, Throughput: true, Settings: map[string]string{
		"broker.session.timeout.ms": "30000", // an engine that takes all of the machine is no reason to take the broker for dead
	}}
	if l.servers, err = bed.StartServers(ctx, bed.Options{Kafka: kafka}); err != nil {
		return nil, err
	}
	l.client, err = kgo.NewClient(kgo.SeedBrokers(l.servers.Kafka.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(50_000))
	if err != nil {
		return nil, errors.Join(err, l.servers.Close())
	}
	l.admin = kadm.NewClient(l.client)
	return l, nil
}

// prepare gets what a job runs on, once.
func (l *lab) prepare(ctx context.Context, cache, job string) (err error) {
	switch job {
	case jobProduct:
		l.product, err = bed.Product(l.o.binary)
		return err
	case jobPython:
		if l.python, err = pythonFor(ctx, cache); err != nil {
			return err
		}
		_, err = unpack(l.dir, "python")
		return err
	}
	if l.classes[job] != "" {
		return nil
	}
	if l.java, l.javaVersion, err = findJava(ctx); err != nil {
		return err
	}
	l.classes[job], err = javaClasses(ctx, l.java, cache, l.dir, job)
	return err
}

func (l *lab) close() error {
	l.client.Close()
	return l.servers.Close()
}

// serverPIDs are the servers whose work is counted beside the engine's.
func (l *lab) serverPIDs() []int {
	return []int{l.servers.Kafka.PID(), l.servers.Redis.PID(), l.servers.Postgres.PID(), l.servers.S3.PID()}
}

// drains has every engine read a full topic.
func (l *lab) drains(ctx context.Context, w *workload, chosen []engine) error {
	in, err := l.fill(ctx, w)
	if err != nil {
		return err
	}
	o, err := l.oracle(ctx, w, in)
	if err != nil {
		return err
	}
	err = l.each(ctx, w, chosen, func(t *trial) (*line, error) {
		t.in, t.oracle = in, o
		return t.drain(ctx)
	})
	return errors.Join(err, l.remove(ctx, in.topic), os.Remove(in.file))
}

// latencies has every engine follow a producer.
func (l *lab) latencies(ctx context.Context, w *workload, chosen []engine) error {
	return l.each(ctx, w, chosen, func(t *trial) (*line, error) { return t.latency(ctx) })
}

// each has the engines work in turn, as often as wanted. One that fails does not keep the others from it.
func (l *lab) each(ctx context.Context, w *workload, chosen []engine, work func(*trial) (*line, error)) error {
	for range l.o.runs {
		for i := range chosen {
			e := &chosen[i]
			if !slices.Contains(e.works, w.name) {
				bed.Progress("%s has no job for %s", e.name, w.name)
				continue
			}
			l.runs++
			t := &trial{lab: l, w: w, e: e, name: fmt.Sprintf("%s-%s-%d", strings.ToLower(w.name), e.name, l.runs)}
			bed.Progress("%s: %s", w.name, e.name)
			out, err := work(t)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if out == nil {
				out = &line{}
			}
			out.Workload, out.Engine, out.Settings, out.Machine, out.Commit = w.name, e.name, t.settings(), bed.Machine(), l.commit
			if err != nil {
				out.Failed = err.Error()
			}
			if err := l.report(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// report prints the line of a run, and keeps it.
func (l *lab) report(out *line) error {
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	if l.lines = append(l.lines, *out); !out.good() {
		l.wrong++
	}
	if l.o.results == "" {
		return nil
	}
	file, err := os.OpenFile(l.o.results, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s\n", text)
	return errors.Join(err, file.Close())
}

// oracle computes what must come out.
func (l *lab) oracle(ctx context.Context, w *workload, in *input) (*oracle.Oracle, error) {
	o, err := oracle.New(ctx, l.dir, map[string]any{"events": in.file, "raw": l.file("rows.jsonl"), "expected": l.file(w.name + ".parquet")})
	if err != nil {
		return nil, err
	}
	var n []struct{ N int64 }
	if err := o.Query(ctx, w.expectedSQL(), &n); err != nil {
		return nil, err
	}
	bed.Progress("%s: %d rows must come out", w.name, n[0].N)
	return o, nil
}

func (l *lab) file(name string) string { return l.dir + "/" + name }

// createTopic creates a topic, and waits until it can be written.
func (l *lab) createTopic(ctx context.Context, name string) error {
	if _, err := l.admin.CreateTopic(ctx, partitions, 1, nil, name); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		ends, err := l.admin.ListEndOffsets(ctx, name)
		if err == nil {
			err = ends.Error()
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if err := bed.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// remove deletes topics whose name begins so.
func (l *lab) remove(ctx context.Context, prefix string) error {
	all, err := l.admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	for _, name := range all.Names() {
		if strings.HasPrefix(name, prefix) {
			if _, err := l.admin.DeleteTopic(ctx, name); err != nil {
				return fmt.Errorf("delete topic %s: %w", name, err)
			}
		}
	}
	return nil
}
