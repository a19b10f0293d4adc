// Package engine makes compiled pipelines run: tasks that come and go with partitions, their loop, and the commit of
// epochs. See the package stream for the words, and docs/design/engine.md for the protocol.
package engine

import (
	"context"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Plan is a checked pipeline, ready to run. The package pipelines makes it; nothing changes it afterwards.
type Plan struct {
	Pipeline string // the name in the file
	Instance string // name and version: part of the names of everything the pipeline writes
	Stages   []*Stage
}

// Stage is the part of a pipeline between two topics.
type Stage struct {
	Plan   *Plan
	Name   string
	Topics []string // of Source
	// Internal is the topic that this stage writes its partials to, "" for the last stage. The engine creates it with
	// InternalPartitions before any task starts, and links the output itself: Partial batches of the last step go there.
	Internal           string
	InternalPartitions int32
	// Partial is the schema of the partials (groups, then states) of the internal topic that this stage reads, nil for a
	// stage that reads events. The engine brings decoder and marks of such a stage itself.
	Partial *stream.Schema

	// Window is the step whose windows the versions of the pipeline share at a cut, counted from one; 0 if this stage has
	// none. What stands behind it sees the windows of this version only.
	Window int

	// Keyed is verified while the stage runs; nil if nothing depends on what the source is keyed by.
	Keyed *Keyed

	Time     Time
	Interval Intervals
	Cut      *Cut // the raw archive: epochs are claimed at cuts only; nil for all other stages

	// NewDecoder, NewSteps and NewSinks make the parts of one task; they are called from its goroutine. NewDecoder is nil
	// for a stage with Partial.
	NewDecoder func() (stream.Decoder, error)
	NewSteps   func(t TaskContext) ([]Step, error)
	NewSinks   func(ctx context.Context, t TaskContext) ([]Output, error)
}

// Time is how progress follows from events.
type Time struct {
	OutOfOrder time.Duration // the mark stays so far behind the highest event time
	MaxJump    time.Duration // one record may move it forward by so much; more needs witnesses
	IdleAfter  time.Duration // a partition without records for so long is idle; 0 never
	Lateness   time.Duration // allowed_lateness of the windows
}

// Intervals are wall-clock distances. They change when something is written, never what.
type Intervals struct {
	Epoch    time.Duration // between claims
	Snapshot time.Duration // between snapshots
	Publish  time.Duration // between publications of open windows
}

// Cut is where a part of the raw archive ends: before the record that would pass one of the limits. It depends on the
// log only.
type Cut struct {
	Records int64
	Bytes   int64
	Slot    time.Duration // a record whose broker timestamp enters a later slot begins a new part
}

// TaskContext is what the parts of a task may know about it.
type TaskContext struct {
	Task       stream.TaskID
	Partitions int32 // of the topic, when the task started
	Stage      *Stage
	// Fresh says that no record of the task was ever claimed: it begins anew, and no receiver needs to have anything of it.
	Fresh bool
	// Generation counts the quarantined records of the task. What shows live values keeps those of different ones apart.
	Generation int64
	// Internal writes to the internal topic of a stage that has one.
	Internal LogWriter
	// Park takes rows that the servers of the outputs refuse for good; nil where nobody does, and they are an error.
	Park  stream.Park
	Clock stream.Clock
}

// LogWriter appends records to one topic for one task. Append is called from the task's goroutine and may block; Flush
// comes from the committer and returns when everything appended so far is acknowledged.
type LogWriter interface {
	Append(ctx context.Context, partition int32, value []byte) error
	Flush(ctx context.Context) error
	Close() error
}

// Step is a named operator of the chain; the name is that of its output.
type Step struct {
	Name     string // unique; "source" is the input itself
	Operator stream.Operator
}

// Output connects a sink to the rows of a step.
type Output struct {
	Name   string         // of the sink, unique in the stage: "redis", "parquet"
	Of     string         // step whose rows it takes; "source" for the decoded events
	Phases []stream.Phase // that it takes
	// Live says that rows leave at once as absolute values with versions, which a replay sends again. While such a sink
	// does not acknowledge, epochs are claimed without a snapshot.
	Live bool
	// Schema is that of the leading columns of the rows, which are all that the sink sees; nil for all columns.
	Schema *stream.Schema
	Sink   stream.Sink
}
