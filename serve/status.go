package serve

import (
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// StatusAnswer is the body of /api/v2/status.
type StatusAnswer struct {
	Worker       string             `json:"worker"`
	Version      string             `json:"version"`
	Dependencies []DependencyStatus `json:"dependencies"`
	Pipelines    []PipelineStatus   `json:"pipelines"`
}

// DependencyStatus is something that this worker needs.
type DependencyStatus struct {
	Name      string   `json:"name"`       // Kafka, Postgres, Redis, its content, the object store
	AwaySince *Instant `json:"away_since"` // null while it answers
	Problem   string   `json:"problem,omitempty"`
}

// PipelineStatus is how one pipeline stands on this worker.
type PipelineStatus struct {
	Name     string `json:"name"`
	Instance string `json:"instance"`
	// CompleteThrough is the lowest watermark of the last stage's partitions up to which everything is claimed and every output
	// has what it has to take: results up to it are final but for late events within allowed_lateness. It stands still while a
	// store is away. Null while it is unknown.
	CompleteThrough *Instant          `json:"complete_through"`
	Ledger          map[string]int64  `json:"ledger"`      // of the stages that read events
	LedgerDiff      int64             `json:"ledger_diff"` // offsets passed less the ledger's sum, of each task without its sign: 0 or a defect
	Partitions      []PartitionStatus `json:"partitions"`
}

// PartitionStatus is one task.
type PartitionStatus struct {
	Stage       string            `json:"stage"`
	Topic       string            `json:"topic"`
	Partition   int32             `json:"partition"`
	State       string            `json:"state"` // starting, isolating, running, failed
	Problem     string            `json:"problem,omitempty"`
	Epoch       int64             `json:"epoch"`
	Offset      int64             `json:"offset"`
	Lag         *int64            `json:"lag"`         // records; null while unknown
	LagSeconds  float64           `json:"lag_seconds"` // wall clock less watermark
	Watermark   *Instant          `json:"watermark"`
	Ledger      map[string]int64  `json:"ledger"`
	Gaps        map[string]int64  `json:"gaps"` // of the ledger, by kind: marker, aborted, absent
	StateBytes  int64             `json:"state_bytes"`
	Groups      int64             `json:"groups"`
	Snapshot    int64             `json:"snapshot_offset"`
	Outputs     map[string]string `json:"outputs"`          // trouble by output, "" when it works
	Parked      map[string]int64  `json:"parked,omitempty"` // rows by output that its server refused, see dead letters of the kind parked
	SnapshotLen int64             `json:"snapshot_bytes"`
}

// Instant is an event time in answers: RFC 3339, or null when unknown.
type Instant stream.Time

// InstantOf is nil for NoTime.
func InstantOf(t stream.Time) *Instant {
	if t == stream.NoTime || t == stream.MaxTime {
		return nil
	}
	i := Instant(t)
	return &i
}

// MarshalText implements encoding.TextMarshaler.
func (i Instant) MarshalText() ([]byte, error) { return []byte(stream.Time(i).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *Instant) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	*i = Instant(stream.TimeOf(t))
	return err
}
