package bed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

// Options says how the servers are run.
type Options struct {
	Kafka    testservers.KafkaOptions
	Redis    testservers.RedisOptions
	Postgres testservers.PostgresOptions
}

// Servers are one of each that the product needs. Any number of clusters may use them, one after the other.
type Servers struct {
	Kafka    *testservers.KafkaServer
	Redis    *testservers.RedisServer
	Postgres *testservers.PostgresServer
	S3       *testservers.S3Server
	Bucket   testservers.Bucket
}

// StartServers starts every server, and makes a bucket.
func StartServers(ctx context.Context, o Options) (s *Servers, err error) {
	s = &Servers{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Kafka, err = testservers.StartKafka(ctx, o.Kafka); err != nil {
		return s, err
	}
	if s.Redis, err = testservers.StartRedis(ctx, o.Redis); err != nil {
		return s, err
	}
	if s.Postgres, err = testservers.StartPostgres(ctx, o.Postgres); err != nil {
		return s, err
	}
	if s.S3, err = testservers.StartS3(ctx); err != nil {
		return s, err
	}
	s.Bucket, err = s.S3.CreateBucket(ctx, "tidewatch")
	return s, err
}

// Close stops all of them.
func (s *Servers) Close() error {
	var errs []error
	if s.Kafka != nil {
		errs = append(errs, s.Kafka.Close())
	}
	if s.Redis != nil {
		errs = append(errs, s.Redis.Close())
	}
	if s.Postgres != nil {
		errs = append(errs, s.Postgres.Close())
	}
	if s.S3 != nil {
		errs = append(errs, s.S3.Close())
	}
	return errors.Join(errs...)
}

// Routes are the addresses, host:port, by which workers reach the servers.
type Routes struct{ Kafka, Redis, Postgres, S3 string }

// Direct leads to the servers themselves.
func (s *Servers) Direct() Routes {
	return Routes{Kafka: s.Kafka.Address(), Redis: s.Redis.Address(), Postgres: s.Postgres.Address(), S3: s.S3.Address()}
}

// Place is where a cluster keeps its things: nothing of it is shared with another cluster.
type Place struct {
	Dir       string // of configuration and logs
	Binary    string
	Pipelines string // file or folder
	Name      string // of the database, and the prefix in the bucket
	RedisDB   int
	Group     string // consumer group; "" is the product's own
	Routes    Routes
}

// Cluster makes the database and the configuration of workers, which are not started yet.
func (s *Servers) Cluster(ctx context.Context, p Place) (*Cluster, error) {
	if _, err := s.Postgres.CreateDatabase(ctx, p.Name); err != nil {
		return nil, err
	}
	c := &Cluster{Servers: s, Place: p, Config: filepath.Join(p.Dir, p.Name+".yaml")}
	if err := os.WriteFile(c.Config, []byte(c.configuration()), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return c, c.Produce(ctx)
}

// Produce makes the client of the producer anew, which knows the partitions that topics have now. What the one before it has
// taken is written.
func (c *Cluster) Produce(ctx context.Context) (err error) {
	if c.Client != nil {
		if err := c.Client.Flush(ctx); err != nil {
			return fmt.Errorf("flush the producer: %w", err)
		}
		c.Client.Close()
	}
	c.Client, err = c.Producer()
	return err
}

// Producer is a client whose records name their partition.
func (s *Servers) Producer() (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(50_000))
}

func (c *Cluster) configuration() string {
	r, b := c.Routes, c.Bucket
	var text strings.Builder
	fmt.Fprintf(&text, "kafka: {brokers: [%q]", r.Kafka)
	if c.Group != "" {
		fmt.Fprintf(&text, ", group: %q", c.Group)
	}
	fmt.Fprintf(&text, "}\nredis: {url: \"redis://%s/%d\"}\n", r.Redis, c.RedisDB)
	fmt.Fprintf(&text, "postgres: {dsn: \"postgres://postgres@%s/%s?sslmode=disable\"}\n", r.Postgres, c.Name)
	fmt.Fprintf(&text, "objects: {url: \"s3://%s/%s\", endpoint: \"http://%s\", region: %q, access_key: %q, secret_key: %q}\n",
		b.Bucket, c.Name, r.S3, b.Region, b.AccessKey, b.SecretKey)
	if c.Pipelines != "" {
		fmt.Fprintf(&text, "pipelines: [%q]\n", c.Pipelines)
	}
	return text.String()
}

// ForSpeed are servers whose broker is compiled for speed.
func ForSpeed() Options {
	return Options{Kafka: testservers.KafkaOptions{HeapMB: 1024, Throughput: true}}
}

// For starts servers and one cluster on them, whose workers run one pipeline, with a broker that is compiled for speed.
func For(ctx context.Context, dir, binary, name string, pipeline []byte) (*Cluster, error) {
	path, err := Product(binary)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, pipeline, 0o600); err != nil {
		return nil, err
	}
	s, err := StartServers(ctx, ForSpeed())
	if err != nil {
		return nil, err
	}
	c, err := s.Cluster(ctx, Place{Dir: dir, Binary: path, Pipelines: file, Name: "tidewatch", Routes: s.Direct()})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return c, nil
}

// Product is the full path of a binary that is there.
func Product(binary string) (string, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("there is no product at %s: run make build", path)
	}
	return path, nil
}

// CreateTopic creates a topic of one replica.
func (c *Cluster) CreateTopic(ctx context.Context, name string, partitions int32) error {
	_, err := kadm.NewClient(c.Client).CreateTopic(ctx, partitions, 1, nil, name)
	return err
}

// FreeAddress is an address of testservers, or one that lets the process that is started choose.
func FreeAddress(ctx context.Context) string {
	address, err := testservers.FreeAddress(ctx)
	if err != nil {
		return "127.0.0.1:0"
	}
	return address
}
