package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// What a job is written for.
const (
	jobFlink   = "flink"
	jobStreams = "kstreams"
	jobPython  = "python"
	jobProduct = "tidewatch"
)

// engine is one that does the work.
type engine struct {
	name, job, state string
	works            []string // names of workloads
	mixes            bool     // it has no watermark for each partition, see patience
	settings         string   // what one has to know to judge whether it was tuned fairly
	start            func(context.Context, *trial) (*group, error)
	look             func(context.Context, *trial) (sight, error)
	collect          func(context.Context, *trial, io.Writer) error
	follow           func(context.Context, *trial, func(windowRow)) error
}

// sight is what one sees of an engine at work from outside.
type sight struct {
	ready    bool   // everything is read
	progress string // it is done when this stands still from then on; "" for engines that end by themselves
}

const (
	flinkSettings = "Flink 1.20.3, one process (local mini-cluster), parallelism %d, exactly-once checkpoints every %s to files, incremental, " +
		"Kafka sink in transactions, object reuse, Jackson streaming parser, tuples of the wanted fields between operators, fetches of 4 MiB a partition, " +
		"lz4, batches of 256 KiB, linger 20 ms, allowed lateness %s, %s, Parallel GC, heap %d MB"
	streamsSettings = "Kafka Streams 4.1.0, one process, %d threads, exactly_once_v2, commits every %s, Jackson streaming parser, binary serdes, record cache " +
		"256 MiB, fetches of 4 MiB a partition, lz4, batches of 256 KiB, linger 20 ms, grace %s, %s, Parallel GC, heap %d MB"
	bytewaxSettings = "Bytewax 0.21.1, %d processes, recovery snapshots every %s, orjson, batches of 5,000, waits for late events %s, rows to files that " +
		"recovery cuts back to its snapshot (its Kafka sink is at least once only)"
	productSettings = "tidewatch serve, one process, a snapshot every %s, other intervals as in peers/pipelines, allowed lateness %s, %s"
)

// engines is the table of all there are.
func engines() []engine {
	// Not W6: Bytewax has no timers in event time, so it cannot judge a window in which nothing came.
	most := []string{"W1", "W2", "W3", "W4", "W5"}
	all := append(slices.Clone(most), "W6")
	kept := append(slices.Clone(all), "W8")
	return []engine{
		{
			name: "flink", job: jobFlink, state: "hashmap", works: kept, settings: flinkSettings,
			start: startFlink, look: lookAtFlink, collect: collectTopic, follow: followTopic,
		},
		{
			name: "flink-rocksdb", job: jobFlink, state: "rocksdb", works: kept, settings: flinkSettings,
			start: startFlink, look: lookAtFlink, collect: collectTopic, follow: followTopic,
		},
		{
			name: "kstreams", job: jobStreams, state: "rocksdb", works: all, mixes: true, settings: streamsSettings,
			start: startStreams, look: lookAtGroup, collect: collectTopic, follow: followTopic,
		},
		{
			// Not for W5: a look-up in its window store on the heap walks over every millisecond of the ten minutes.
			name: "kstreams-memory", job: jobStreams, state: "memory", works: []string{"W1", "W2", "W3", "W4", "W6"}, mixes: true, settings: streamsSettings,
			start: startStreams, look: lookAtGroup, collect: collectTopic, follow: followTopic,
		},
		{
			name: "bytewax", job: jobPython, works: most, mixes: true, settings: bytewaxSettings,
			start: startBytewax, look: lookAtEnd, collect: collectFiles, follow: followFiles,
		},
		{
			name: "tidewatch", job: jobProduct, state: "redis", works: kept, settings: productSettings,
			start: startProduct, look: lookAtProduct, collect: collectProduct, follow: followProduct,
		},
		{
			name: "tidewatch-kafka", job: jobProduct, state: "kafka", works: []string{"W2", "W4"}, settings: productSettings,
			start: startProduct, look: lookAtProduct, collect: collectTopic, follow: followTopic,
		},
	}
}

// settings are those of the engine in this trial.
func (t *trial) settings() string {
	state := map[string]string{
		"hashmap": "state on the heap", "rocksdb": "state in RocksDB", "memory": "state on the heap with a changelog", "redis": "output in Redis",
		"kafka": "output to Kafka in transactions",
	}[t.e.state]
	switch {
	case t.e.job == jobProduct && t.w.alerts:
		state = "output in PostgreSQL"
	case t.e.job == jobProduct && !t.toRedis():
		state = "output to Kafka in transactions"
	}
	if t.w.kills {
		archive := "no archive"
		if t.e.job == jobProduct {
			archive = "raw archive in Parquet"
		}
		state += fmt.Sprintf(", %s, killed every %s", archive, t.o.killEvery)
	}
	switch t.e.job {
	case jobFlink:
		if t.e.state == "rocksdb" {
			state += " with 512 MB of managed memory"
		}
		return fmt.Sprintf(t.e.settings, t.cores, t.o.checkpoint, t.patience(), state, t.w.heapMB) + ", " + t.javaVersion
	case jobStreams:
		return fmt.Sprintf(t.e.settings, t.cores, t.o.checkpoint, t.patience(), state, t.w.heapMB) + ", " + t.javaVersion
	case jobPython:
		return fmt.Sprintf(t.e.settings, t.cores, t.o.checkpoint, t.patience())
	}
	return fmt.Sprintf(t.e.settings, t.o.checkpoint, t.patience(), state)
}

// javaArguments are those of the process, and those of the job that all Java jobs have.
func (t *trial) javaArguments(class string, options ...string) []string {
	heap := strconv.Itoa(t.w.heapMB) + "m"
	args := append([]string{
		t.java, "-Xms" + heap, "-Xmx" + heap, "-XX:+UseParallelGC", "-XX:-UsePerfData", "-Djava.io.tmpdir=" + t.dir,
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		// What the library of the sketches wants on Java 17.
		"--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED", "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
		"--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
	}, options...)
	args = append(args, "-cp", t.classes[t.e.job], class, "workload="+t.w.name, "brokers="+t.servers.Kafka.Address(), "from="+t.in.topic, "to="+t.name,
		"group="+t.name, "dir="+t.dir, "state="+t.e.state, "parallelism="+strconv.Itoa(t.cores), "checkpoint="+milliseconds(t.o.checkpoint),
		"lateness="+milliseconds(t.patience()), "disorder="+milliseconds(t.disorder()))
	if t.w.alerts {
		args = append(args, "rules="+ruleArgument())
	}
	return args
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func startFlink(_ context.Context, t *trial) (*group, error) {
	var opens []string
	for _, p := range []string{"lang", "lang.reflect", "io", "net", "nio", "text", "time", "util", "util.concurrent", "util.concurrent.atomic"} {
		opens = append(opens, "--add-opens=java.base/java."+p+"=ALL-UNNAMED")
	}
	managed := "1m" // state on the heap has no use for it
	if t.e.state == "rocksdb" {
		managed = "512m"
	}
	args := append(t.javaArguments("FlinkJob", opens...), "managed="+managed, "bounded="+strconv.FormatBool(t.ends()), "restore="+t.newestCheckpoint())
	return launch(t.dir, t.log(), program{args: args})
}

// newestCheckpoint is the folder of the last one that Flink has completed; "" if there is none.
func (t *trial) newestCheckpoint() (newest string) {
	var last time.Time
	done, _ := filepath.Glob(filepath.Join(t.dir, "checkpoints/*/chk-*/_metadata")) // the pattern is well-formed
	for _, path := range done {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(last) {
			newest, last = filepath.Dir(path), info.ModTime()
		}
	}
	return newest
}

func startStreams(_ context.Context, t *trial) (*group, error) {
	return launch(t.dir, t.log(), program{args: append(t.javaArguments("StreamsJob"), "cache="+strconv.Itoa(256<<20))})
}

// startBytewax starts a process for each core: a Python process keeps one busy.
func startBytewax(ctx context.Context, t *trial) (*group, error) {
	recovery, rows := filepath.Join(t.dir, "recovery"), filepath.Join(t.dir, "rows")
	for _, dir := range []string{recovery, rows} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := execute(ctx, "prepare Bytewax's recovery", t.python, "-m", "bytewax.recovery", recovery, strconv.Itoa(t.cores)); err != nil {
		return nil, err
	}
	wait := t.patience()
	if t.live {
		wait = t.disorder()
	}
	job, err := json.Marshal(map[string]any{
		"workload": t.w.name, "brokers": t.servers.Kafka.Address(), "from": t.in.topic, "rows": rows, "parallelism": t.cores,
		"wait": wait.Milliseconds(), "bounded": !t.live,
	})
	if err != nil {
		return nil, err
	}
	var addresses []string
	for range t.cores {
		addresses = append(addresses, bed.FreeAddress(ctx))
	}
	var programs []program
	for i := range t.cores {
		programs = append(programs, program{
			args: []string{
				t.python, "-m", "bytewax.run", "bytewax_job", "-i", strconv.Itoa(i), "-a", strings.Join(addresses, ";"),
				"-r", recovery, "-s", strconv.FormatFloat(t.o.checkpoint.Seconds(), 'f', -1, 64), "-b", "0",
			},
			env: []string{"JOB=" + string(job), "PYTHONPATH=" + t.lab.dir, "PYTHONDONTWRITEBYTECODE=1"},
		})
	}
	return launch(t.dir, t.log(), programs...)
}
