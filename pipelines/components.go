package pipelines

import (
	"context"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// Components are the constructors of everything a plan is made of. One file of the program fills all of them in; nothing
// changes them afterwards. Operator constructors are called while a file is checked, and again for every task, so they
// must be cheap and safe for concurrent use; their errors are shown to the author of the file.
type Components struct {
	Catalog *schemas.Catalog
	// Formats and Aggregates are the known names, for suggestions.
	Formats    []string
	Aggregates []string

	// NewDecoder reads records of a format into batches with these fields.
	NewDecoder func(format string, d *schemas.Definition, fields []string) (stream.Decoder, error)

	NewFilter  func(in *stream.Schema, expr string) (stream.Operator, error)
	NewProject func(in *stream.Schema, columns []Column) (stream.Operator, error)
	// ProjectSchema is what NewProject emits.
	ProjectSchema func(in *stream.Schema, columns []Column) (*stream.Schema, error)
	// NewDedupe may be nil: then a file with a dedupe is refused.
	NewDedupe func(in *stream.Schema, c DedupeConfig) (stream.Operator, error)

	// CheckAggregate tells what is wrong with one aggregate; its Expr is a call such as avg(value).
	CheckAggregate func(in *stream.Schema, a Column) error
	// NewTumbling computes a window in one stage. NewFold computes the partials of one source partition and NewMerge
	// what they add up to; in of NewMerge is that of NewFold. The schemas are those of rollup rows and of partials.
	NewTumbling   func(in *stream.Schema, c WindowConfig) (stream.Operator, error)
	NewFold       func(in *stream.Schema, c WindowConfig) (stream.Operator, error)
	NewMerge      func(in *stream.Schema, c WindowConfig) (stream.Operator, error)
	RollupSchema  func(in *stream.Schema, c WindowConfig) (*stream.Schema, error)
	PartialSchema func(in *stream.Schema, c WindowConfig) (*stream.Schema, error)
	// CellBytes is the memory that the aggregates of one group of an open window take; nil for nobody knows.
	CellBytes func(in *stream.Schema, c WindowConfig) (int, error)

	// NewFirst and NewAbsence follow the rows of a window: one passes those of new groups, the other makes rows of missing
	// ones, whose columns AbsenceSchema tells. A file with a step that is nil is refused.
	NewFirst      func(rollup *stream.Schema, c FirstConfig) (stream.Operator, error)
	NewAbsence    func(rollup *stream.Schema, c AbsenceConfig) (stream.Operator, error)
	AbsenceSchema func(rollup *stream.Schema, by []string) (*stream.Schema, error)

	// NewAlert judges the rows of a window and passes them on.
	NewAlert func(rollup *stream.Schema, r RuleConfig) (stream.Operator, error)
	// ReadTransition reads the body of a decision of NewAlert.
	ReadTransition func(body []byte) (Transition, error)

	// NewSink opens a sink for a task.
	NewSink func(ctx context.Context, c SinkConfig, t engine.TaskContext) (stream.Sink, error)
}

// Column is a column that an operator computes.
type Column struct{ Name, Expr string }

// DedupeConfig describes a dedupe.
type DedupeConfig struct {
	By     []string
	Within time.Duration
	// Lateness is the allowed lateness of the pipeline: repeats that are late by so much are still found.
	Lateness time.Duration
}

// FirstConfig describes a first_seen.
type FirstConfig struct {
	By                      []string // the group columns of the window
	Of                      []string // those that have to be new
	Within, Learn, Lateness time.Duration
}

// AbsenceConfig describes an absence.
type AbsenceConfig struct {
	By            []string // the group columns of the window
	Every, Forget time.Duration
}

// WindowConfig describes a window.
type WindowConfig struct {
	Size      time.Duration
	Every     time.Duration // from one window to the next
	Lateness  time.Duration
	By        []string
	Together  []string // of By: groups that are equal in these have to be in one task; nil is all of By
	MaxGroups int      // that a task keeps of one window; 0 is no limit
	// Aggregates are the computed columns in order; Expr is a call such as avg(value).
	Aggregates []Column
	// Evidence adds columns that name the first and the last record of a row, for alerts. They follow the aggregates.
	Evidence bool
	// Partition of the source that the task of a NewTumbling reads.
	Partition int32
}

// RuleConfig describes an alert rule on a rollup.
type RuleConfig struct {
	Pipeline, Version  string
	Name, When         string
	For, KeepFiringFor time.Duration
	Severity           string
	Labels             []Column      // templates
	Summary            string        // template
	Window             time.Duration // from one end of a window to the next
	// Groups are the leading columns of the rollup that name the group.
	Groups []string
	// Topic is the source of the events, for evidence.
	Topic string
}

// SinkConfig describes an output of a stage.
type SinkConfig struct {
	Kind     SinkKind
	Pipeline string
	Instance string
	Output   string // the step; "source" and STEP.late too
	Schema   *stream.Schema
	Phases   []stream.Phase

	// Of rows of a window: its length, the distance to the next, its lateness, and how many leading columns name the group. The schema ends with the
	// aggregates.
	Window   time.Duration
	Every    time.Duration
	Lateness time.Duration
	Groups   int

	Since  stream.Time // redis: the first window of this version of the pipeline
	Before *SinkConfig // redis: the output of the version before, which has earlier windows; nil if there is none

	Keep  time.Duration // redis
	Topic string        // kafka: where to; parquet of the source: where from
	// Transaction: kafka, rows are written in transactions.
	Transaction bool
	Raw         bool   // parquet: the archive of a topic
	Event       string // name and version of the event type, if the rows are events as they came
}

// Transition is what a case needs to know of a change of state.
type Transition struct {
	Name, Severity, Summary string
	Labels                  map[string]string
	From, To                string // inactive, pending, firing or resolved
	At                      time.Time
	Revised                 bool // only marks the alert: its state stays
	Notifies                bool // somebody has to be told
}
