package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

// cluster is real servers, and workers of the shipped binary.
type cluster struct {
	dir      string
	binary   string
	kafka    *testservers.KafkaServer
	redis    *testservers.RedisServer
	postgres *testservers.PostgresServer
	s3       *testservers.S3Server
	bucket   testservers.Bucket
	config   string
	client   *kgo.Client
	workers  []*worker
}

// startCluster starts every server, and writes the configuration of the workers; dir takes their files.
func startCluster(ctx context.Context, dir, binary, pipelines string, kafka testservers.KafkaOptions) (c *cluster, err error) {
	c = &cluster{dir: dir, binary: binary}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.kafka, err = testservers.StartKafka(ctx, kafka); err != nil {
		return c, err
	}
	if c.redis, err = testservers.StartRedis(ctx, testservers.RedisOptions{}); err != nil {
		return c, err
	}
	if c.postgres, err = testservers.StartPostgres(ctx, testservers.PostgresOptions{}); err != nil {
		return c, err
	}
	if c.s3, err = testservers.StartS3(ctx); err != nil {
		return c, err
	}
	dsn, err := c.postgres.CreateDatabase(ctx, "tidewatch")
	if err != nil {
		return c, err
	}
	if c.bucket, err = c.s3.CreateBucket(ctx, "tidewatch"); err != nil {
		return c, err
	}
	c.config = filepath.Join(dir, "tidewatch.yaml")
	text := fmt.Sprintf("kafka: {brokers: [%q]}\nredis: {url: %q}\npostgres: {dsn: %q}\n"+
		"objects: {url: \"s3://%s/show\", endpoint: %q, region: %q, access_key: %q, secret_key: %q}\npipelines: [%q]\n",
		c.kafka.Brokers()[0], c.redis.URL(), dsn, c.bucket.Bucket, c.bucket.Endpoint, c.bucket.Region, c.bucket.AccessKey, c.bucket.SecretKey, pipelines)
	if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
		return c, err
	}
	c.client, err = kgo.NewClient(kgo.SeedBrokers(c.kafka.Brokers()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(50_000))
	return c, err
}

// clusterFor starts a cluster whose workers run one pipeline, with a broker that is compiled for speed.
func clusterFor(ctx context.Context, dir, binary, name string, pipeline []byte) (*cluster, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("there is no product at %s: run make build", path)
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, pipeline, 0o600); err != nil {
		return nil, err
	}
	return startCluster(ctx, dir, path, file, testservers.KafkaOptions{HeapMB: 1024, Throughput: true})
}

func (c *cluster) close() error {
	for _, w := range c.workers {
		w.kill()
	}
	if c.client != nil {
		c.client.Close()
	}
	var errs []error
	if c.kafka != nil {
		errs = append(errs, c.kafka.Close())
	}
	if c.redis != nil {
		errs = append(errs, c.redis.Close())
	}
	if c.postgres != nil {
		errs = append(errs, c.postgres.Close())
	}
	if c.s3 != nil {
		errs = append(errs, c.s3.Close())
	}
	return errors.Join(errs...)
}

func (c *cluster) createTopic(ctx context.Context, name string, partitions int32) error {
	_, err := kadm.NewClient(c.client).CreateTopic(ctx, partitions, 1, nil, name)
	return err
}

// worker is one process of the product. Its methods are called from one goroutine.
type worker struct {
	c      *cluster
	id     string
	http   string
	admin  string
	cmd    *exec.Cmd
	ended  chan struct{}
	starts int
}

func (c *cluster) addWorker(ctx context.Context, id string) (*worker, error) {
	w := &worker{c: c, id: id, http: freeAddress(ctx), admin: freeAddress(ctx)}
	c.workers = append(c.workers, w)
	return w, w.start(ctx)
}

func freeAddress(ctx context.Context) string {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// start runs the binary; its log is appended to a file named after the worker.
func (w *worker) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(w.c.dir, w.id+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w.cmd = exec.CommandContext(ctx, w.c.binary, "serve", "-c", w.c.config, "--worker-id", w.id)
	w.cmd.Env = append(os.Environ(), "TIDEWATCH_HTTP__LISTEN="+w.http, "TIDEWATCH_HTTP__ADMIN="+w.admin)
	w.cmd.Stdout, w.cmd.Stderr = log, log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	w.starts++
	ended := make(chan struct{})
	w.ended = ended
	cmd := w.cmd
	go func() {
		_ = cmd.Wait() // killed: what it says does not matter
		_ = log.Close()
		close(ended)
	}()
	return nil
}

func (w *worker) signal(s syscall.Signal) {
	if w.cmd != nil && w.cmd.Process != nil {
		_ = w.cmd.Process.Signal(s)
	}
}

// kill is kill -9.
func (w *worker) kill() {
	if w.ended == nil {
		return
	}
	w.signal(syscall.SIGKILL)
	<-w.ended
}

// task is a partition as /api/v2/status shows it.
type task struct {
	Stage     string           `json:"stage"`
	Topic     string           `json:"topic"`
	Partition int32            `json:"partition"`
	State     string           `json:"state"`
	Problem   string           `json:"problem"`
	Offset    int64            `json:"offset"`
	Lag       *int64           `json:"lag"`
	Watermark *time.Time       `json:"watermark"`
	Ledger    map[string]int64 `json:"ledger"`
	Pipeline  string           `json:"-"`
	Diff      int64            `json:"-"`
}

// tasks asks all workers, and lists each task once.
func (c *cluster) tasks(ctx context.Context) (all []task, err error) {
	for _, w := range c.workers {
		var status struct {
			Pipelines []struct {
				Name       string `json:"name"`
				Diff       int64  `json:"ledger_diff"`
				Partitions []task `json:"partitions"`
			} `json:"pipelines"`
		}
		if err := getJSON(ctx, "http://"+w.http+"/api/v2/status", &status); err != nil {
			return nil, err
		}
		for _, p := range status.Pipelines {
			for _, t := range p.Partitions {
				t.Pipeline, t.Diff = p.Name, p.Diff
				all = append(all, t)
			}
		}
	}
	return all, nil
}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("get %s: %s: %s", url, resp.Status, text)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// want is what a caught-up cluster shows for a pipeline: the number of tasks of a stage.
type want struct {
	pipeline, stage string
	tasks           int
}

// await polls until every wanted task runs without lag and ok holds, several times in a row.
func (c *cluster) await(ctx context.Context, limit time.Duration, wanted []want, ok func([]task) bool) ([]task, error) {
	deadline := time.Now().Add(limit)
	calm, last := 0, ""
	for time.Now().Before(deadline) && ctx.Err() == nil {
		all, err := c.tasks(ctx)
		switch {
		case err != nil:
			last = err.Error()
		default:
			last = missing(all, wanted)
		}
		if last == "" && ok(all) {
			if calm++; calm == 3 {
				return all, nil
			}
		} else {
			calm = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil, fmt.Errorf("the workers did not catch up within %s: %s; their logs are in %s", limit, last, c.dir)
}

// missing says what a caught-up cluster would show and this one does not.
func missing(all []task, wanted []want) string {
	var lacks []string
	for _, w := range wanted {
		n := 0
		for _, t := range all {
			if t.Pipeline == w.pipeline && t.Stage == w.stage && t.State == "running" && t.Lag != nil && *t.Lag == 0 {
				n++
			}
		}
		if n != w.tasks {
			lacks = append(lacks, fmt.Sprintf("%d of %d tasks of %s/%s are there without lag", n, w.tasks, w.pipeline, w.stage))
		}
	}
	for _, t := range all {
		if t.State == "failed" {
			lacks = append(lacks, t.Pipeline+": "+t.Problem)
		}
	}
	return strings.Join(lacks, "; ")
}

// run runs the binary and returns its standard output.
func (c *cluster) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.binary, append(args, "-c", c.config)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("tidewatch %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return []byte(out.String()), nil
}
