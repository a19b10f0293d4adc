package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// Config is what a Source needs. Fields without a default in Default are required.
type Config struct {
	Client kafkaclient.Config
	// GroupID is the consumer group, the same for all workers; WorkerID the static member id, another for each and the same
	// after a restart.
	GroupID, WorkerID string
	// Topics of all pipelines, internal ones included. One that does not exist yet is waited for.
	Topics []string
	// SessionTimeout is how long a worker may be silent until its partitions go to others.
	SessionTimeout time.Duration
	// RefreshEvery is how long a new topic, or the growth of one, may go unnoticed.
	RefreshEvery time.Duration
	// RingBytes bounds what is kept of fetched records, compressed, for all partitions of this worker. Half of it is for
	// reading ahead, half for readers that share a partition. Memory may take twice as much for a moment.
	RingBytes int64
	// FetchMaxBytes bounds an answer of a broker.
	FetchMaxBytes int32
	Clock         stream.Clock
	Log           *slog.Logger
}

// Default is a Config for a small worker.
func Default() Config {
	return Config{SessionTimeout: 10 * time.Second, RefreshEvery: 5 * time.Second, RingBytes: 32 << 20, FetchMaxBytes: 16 << 20}
}

const (
	minRing    = 1 << 20 // enough for one partition and its readers
	minRefresh = 100 * time.Millisecond
)

// Validate reports what cannot work, all of it.
func (c Config) Validate() error {
	errs := []error{c.Client.Validate()}
	if c.GroupID == "" {
		errs = append(errs, errors.New("the consumer group's name is empty"))
	}
	if c.WorkerID == "" {
		errs = append(errs, errors.New("the worker's id is empty: give each worker its own --worker-id"))
	}
	if c.SessionTimeout < time.Second {
		errs = append(errs, fmt.Errorf("session timeout %v is shorter than a second", c.SessionTimeout))
	}
	if c.RefreshEvery < minRefresh {
		errs = append(errs, fmt.Errorf("asking for topics every %v is too often: at least %v", c.RefreshEvery, minRefresh))
	}
	if c.RingBytes < minRing {
		errs = append(errs, fmt.Errorf("ring of %d bytes is too small: at least %d", c.RingBytes, minRing))
	}
	if c.FetchMaxBytes < minRing {
		errs = append(errs, fmt.Errorf("fetches of %d bytes are too small: at least %d", c.FetchMaxBytes, minRing))
	}
	if c.Clock == nil || c.Log == nil {
		errs = append(errs, errors.New("clock and log are required"))
	}
	return errors.Join(errs...)
}
