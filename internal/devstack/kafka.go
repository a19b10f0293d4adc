package devstack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/tidewatch/tidewatch/stream"
)

const (
	// segmentBytes is the largest size of the broker's files. The broker reads whole files of all partitions at once when it
	// starts: with 4 MiB it needed 160 MB for 1.7 GB in 12 partitions, with 16 MiB 460 MB. Retention works by file, so they are
	// smaller where little is kept.
	segmentBytes      = 4 << 20
	smallSegmentBytes = 1 << 20
	// never is the interval of the broker's own retention, which is replaced by ours.
	never = 10 * 365 * 24 * time.Hour
	// bigFolder is the size from which memory used for loading is worth giving back at once.
	bigFolder = 64 << 20
	// closeWithin bounds the closing of the broker, which is a few small files.
	closeWithin = 10 * time.Second
)

// broker is the embedded Kafka. Groups rebalance at once (there is no initial delay), topics are not made by asking for
// them.
type broker struct {
	cluster *kfake.Cluster
	address string
	dir     string
	clock   stream.Clock
	log     *slog.Logger
	keep    retention // of topics that do not say

	cancel context.CancelFunc
	wg     sync.WaitGroup
	warned map[string]bool // topics about whose compaction was warned; of the retention goroutine
}

// startBroker loads the folder and serves on the listener, which it closes in the end, also when it fails.
func startBroker(c Config, dir string, l net.Listener) (*broker, error) {
	b := &broker{address: l.Addr().String(), dir: dir, clock: c.Clock, log: c.Log, warned: map[string]bool{}}
	b.keep = retention{age: defaultRetention, bytes: -1}
	if c.TopicBytes > 0 {
		b.keep.bytes = c.TopicBytes
	}
	loaded, err := mend(dir, c.Log)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.DataDir(dir), kfake.ClusterID(clusterID()), kfake.WithLogger(brokerLog{c.Log}),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":      strconv.FormatInt(segmentSize(b.keep), 10),
			"log.cleaner.backoff.ms": strconv.FormatInt(never.Milliseconds(), 10),
		}),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return bounded{&steady{l, c.Clock, c.Log}, c.Log}, nil }),
	}
	if c.SyncWrites {
		opts = append(opts, kfake.SyncWrites())
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		return nil, fmt.Errorf("start the embedded Kafka in %s: %w", dir, err) // it has closed the listener
	}
	if loaded >= bigFolder {
		debug.FreeOSMemory()
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.wg.Go(func() { b.retain(ctx) })
	return b, nil
}

// segmentSize is that of files by which about so much can be kept.
func segmentSize(keep retention) int64 {
	if keep.bytes < 0 {
		return segmentBytes
	}
	return min(max(keep.bytes/8, smallSegmentBytes), segmentBytes)
}

// clusterID is drawn anew; a folder that has one keeps it.
func clusterID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// close ends connections and writes what makes the next start quick.
func (b *broker) close() error {
	b.cancel()
	b.wg.Wait()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		b.cluster.Close()
	}()
	select {
	case <-closed:
		return nil
	case <-b.clock.After(closeWithin):
		return fmt.Errorf("stop the embedded Kafka: it did not end within %s", closeWithin)
	}
}

// brokerLog hands the broker's words to our log. What it calls information is for those who look for an error in it.
type brokerLog struct{ log *slog.Logger }

// Logf implements kfake.Logger.
func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	default:
	}
	if ctx := context.Background(); l.log.Enabled(ctx, to) {
		l.log.Log(ctx, to, "embedded Kafka: "+fmt.Sprintf(format, args...))
	}
}
