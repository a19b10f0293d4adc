package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

//go:embed pipelines/plain.yaml
var plainPipeline string

//go:embed pipelines/keyed.yaml
var keyedPipeline string

// lab is the servers that all runs use, one run after the other.
type lab struct {
	*bed.Servers
	dir     string
	binary  string
	runs    int
	last    string // folder of the last run
	broken  bool   // a run has failed: its servers may be away
	short   bool   // the bounded form: less load, fewer deaths
	hunting bool   // a failed run is what is wanted, and cleans up like any other

	kafka, redis, postgres, s3 *proxy // before the servers, for the workers alone
}

// openLab makes a lab of a product that is there.
func openLab(ctx context.Context, dir, binary string) (*lab, error) {
	path, err := bed.Product(binary)
	if err != nil {
		return nil, err
	}
	l := &lab{dir: dir, binary: path}
	return l, l.restart(ctx)
}

// start starts the servers. The broker and the stores forget nothing when they are killed.
func (l *lab) start(ctx context.Context) (err error) {
	for _, p := range []**proxy{&l.kafka, &l.redis, &l.postgres, &l.s3} {
		if *p, err = newProxy(ctx); err != nil {
			return err
		}
	}
	l.Servers, err = bed.StartServers(ctx, bed.Options{
		// A busy machine must not look like a dead broker; one that is started again is let in after this time.
		Kafka:    testservers.KafkaOptions{HeapMB: 512, Proxied: l.kafka.address(), Settings: map[string]string{"broker.session.timeout.ms": "6000"}},
		Redis:    testservers.RedisOptions{AppendOnly: true, Arguments: []string{"--appendfsync", "always"}},
		Postgres: testservers.PostgresOptions{Settings: map[string]string{"synchronous_commit": "on"}},
	})
	if err != nil {
		return err
	}
	l.kafka.lead(l.Kafka.Behind())
	l.redis.lead(l.Redis.Address())
	l.postgres.lead(l.Postgres.Address())
	l.s3.lead(l.S3.Address())
	return nil
}

// end stops everything.
func (l *lab) end() error {
	if l.Servers == nil { // nothing was ever started
		return nil
	}
	for _, p := range []*proxy{l.kafka, l.redis, l.postgres, l.s3} {
		p.close()
	}
	return l.Close()
}

// open makes a run with everything of its own on the servers.
func (l *lab) open(ctx context.Context, s *scenario, seed uint64) (r *run, err error) {
	l.runs++
	name := fmt.Sprintf("run%d", l.runs)
	dir := filepath.Join(l.dir, name)
	l.last = dir
	if err := os.MkdirAll(filepath.Join(dir, "pipelines"), 0o700); err != nil {
		return nil, err
	}
	r = &run{lab: l, name: name, dir: dir, seed: seed, load: defaultLoad(seed), plain: "plain-" + name, keyed: "keyed-" + name, late: "late-" + name, idle: "0s", patience: patience}
	r.faults.hits = map[string]int{}
	if r.short = l.short; r.short {
		r.load.events, r.load.over = r.load.events/2, r.load.over/2
	}
	if s.prepare != nil {
		s.prepare(r)
	}
	if err := r.writePipelines(); err != nil {
		return nil, err
	}
	if err := l.flush(ctx); err != nil {
		return nil, err
	}
	r.bed, err = l.Cluster(ctx, bed.Place{
		Dir: dir, Binary: l.binary, Pipelines: filepath.Join(dir, "pipelines"), Name: name, Group: name,
		Routes: bed.Routes{Kafka: l.kafka.address(), Redis: l.redis.address(), Postgres: l.postgres.address(), S3: l.s3.address()},
	})
	if err != nil {
		return nil, err
	}
	for _, p := range []*proxy{l.kafka, l.redis, l.postgres, l.s3} {
		p.calm()
	}
	for _, topic := range []string{r.plain, r.keyed, r.late} {
		if err := r.bed.CreateTopic(ctx, topic, r.load.partitions); err != nil {
			return nil, errors.Join(err, r.leave(ctx))
		}
	}
	return r, nil
}

// writePipelines writes the files with the run's own topics.
func (r *run) writePipelines() error {
	most := "by: [host]"
	if r.most > 0 {
		most += fmt.Sprintf("\n      max_groups: %d", r.most)
	}
	names := strings.NewReplacer("PLAIN", r.plain, "KEYED", r.keyed, "LATE", r.late, "IDLE", r.idle, "MOST", most)
	for name, text := range map[string]string{"plain.yaml": plainPipeline, "keyed.yaml": keyedPipeline} {
		if err := os.WriteFile(filepath.Join(r.dir, "pipelines", name), []byte(names.Replace(text)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) flush(ctx context.Context) error {
	c := redis.NewClient(&redis.Options{Addr: l.Redis.Address()})
	defer c.Close()
	if err := c.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	return nil
}

// leave ends the workers and removes what the run has on the servers.
func (r *run) leave(ctx context.Context) error {
	r.bed.Leave()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.lab.Kafka.Brokers()...))
	if err != nil {
		return err
	}
	defer client.Close()
	err = bed.DeleteTopics(ctx, client, func(topic string) bool { return strings.HasSuffix(topic, "-"+r.name) })
	return errors.Join(err, r.lab.Postgres.DropDatabase(ctx, r.name), os.RemoveAll(r.objects()))
}

// objects is the folder in which the S3 server keeps what the run has written.
func (r *run) objects() string {
	return filepath.Join(r.lab.S3.Folder(), "objects", r.lab.Bucket.Bucket, r.name)
}
