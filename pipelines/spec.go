package pipelines

import (
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Spec is a pipeline as its file says it. Every value keeps its place, so that whatever is found wrong later can be shown
// there. A spec is not changed after Load; any goroutine may read it.
type Spec struct {
	File     string
	Name     Text
	About    Text
	Source   Source
	Time     Time
	Interval Interval
	Steps    []Step
	Sinks    []Sink
	Cases    []Case

	src *source
	at  Pos

	before *Spec // see After
	since  stream.Time
	take   int
}

// Source is where the events come from.
type Source struct {
	At      Pos
	Topics  []Text
	Format  Text   // "" means auto
	Schema  Text   // NAME or NAME/VERSION; "" means the topic's default
	KeyedBy []Text // fields that choose the partition
}

// Time is how progress follows from events. What is not set has the default named here.
type Time struct {
	At              Pos
	OutOfOrder      Duration
	AllowedLateness Duration
	MaxJump         Duration
	IdleAfter       Duration
}

// The defaults of Time.
const (
	DefaultOutOfOrder      = 2 * time.Second
	DefaultAllowedLateness = time.Minute
	DefaultMaxJump         = time.Minute
	DefaultIdleAfter       = 30 * time.Second
)

// Interval is how often things are written. It never changes what is written.
type Interval struct {
	At       Pos
	Epoch    Duration
	Snapshot Duration
	Publish  Duration
}

// The defaults of Interval. Epochs are short where somebody waits for them: for alerts, and for the second stage of a
// re-keyed pipeline.
const (
	DefaultEpoch      = 10 * time.Second
	DefaultShortEpoch = time.Second
	DefaultSnapshot   = 30 * time.Second
	DefaultPublish    = time.Second
)

// StepKind is the word with which a step begins.
type StepKind string

// The kinds of steps.
const (
	FilterStep  StepKind = "filter"
	ProjectStep StepKind = "project"
	WindowStep  StepKind = "window"
	DedupeStep  StepKind = "dedupe"
	FirstStep   StepKind = "first_seen"
	AbsenceStep StepKind = "absence"
	AlertStep   StepKind = "alert"
)

// followsWindow reports whether steps of the kind take the rows of a window.
func (k StepKind) followsWindow() bool { return k == FirstStep || k == AbsenceStep || k == AlertStep }

// Step is one step; the field of its kind is set.
type Step struct {
	At      Pos
	Kind    StepKind
	Name    Text // `as`, else the rule's name, else the kind, with a number from the second on
	Filter  Text
	Project []Computed
	Window  *Window
	Dedupe  *Dedupe
	First   *FirstSeen
	Absence *Absence
	Alert   *Alert
}

// Computed is a named expression.
type Computed struct{ Name, Expr Text }

// Window is a window and what it computes: Tumbling, or Hopping with Every.
type Window struct {
	Tumbling   Duration
	Hopping    Duration
	Every      Duration
	By         []Text
	Aggregates []Computed
	MaxGroups  Number       // that a task keeps of one window; not set: no limit
	Memory     Number       // bytes that the groups of a task may take by the estimate; not set: nothing is checked
	Unit       Text         // of what is measured; "" is that of the events
	Units      []ColumnUnit // of single columns instead
}

// Size is the length of a window.
func (w *Window) Size() time.Duration { return max(w.Tumbling.Duration, w.Hopping.Duration) }

// Step is the distance from one window to the next: the length of those that do not overlap.
func (w *Window) Step() time.Duration {
	if w.Hopping.IsSet() {
		return w.Every.Duration
	}
	return w.Tumbling.Duration
}

// length is what the file says of the length.
func (w *Window) length() Duration {
	if w.Hopping.IsSet() {
		return w.Hopping
	}
	return w.Tumbling
}

// FirstSeen lets rows of a window pass that are new: in the fields of Of, to the rest of the group.
type FirstSeen struct {
	Of     []Text
	Within Duration
	Learn  Duration
}

// Absence tells of groups that have no row any more.
type Absence struct {
	Forget Duration
}

// Dedupe lets the first of equal events pass.
type Dedupe struct {
	By     []Text
	Within Duration
}

// Alert is a rule on the rows of the window.
type Alert struct {
	Name          Text
	When          Text
	For           Duration
	KeepFiringFor Duration
	Severity      Text
	Labels        []Computed // templates
	Summary       Text       // template
}

// SinkKind is the technology of a sink.
type SinkKind string

// The kinds of sinks.
const (
	RedisSink   SinkKind = "redis"
	ParquetSink SinkKind = "parquet"
	KafkaSink   SinkKind = "kafka"
	ConsoleSink SinkKind = "console"
)

// Sink is where rows of steps go.
type Sink struct {
	At    Pos
	Kind  SinkKind
	Of    []Text // step names; `source`, and STEP.late
	Keep  Duration
	Topic Text
	// Transaction asks for rows that are there exactly once for readers of committed records.
	Transaction Flag
}

// DefaultKeep is how long Redis holds a rollup.
const DefaultKeep = 6 * time.Hour

// Case is an example with what has to come out.
type Case struct {
	At     Pos
	About  Text
	Given  []Given
	Until  Duration // how far idle ticks carry the progress at the end
	Expect Expect
}

// Given is an event, or a row of equal events.
type Given struct {
	At      Pos // in the file
	Time    Duration
	Every   Duration
	Times   Number
	Arrives Duration // when the record reaches the log; the event time if not set
	Topic   Text
	Part    Number
	Raw     Text // the record's bytes instead of fields
	Fields  []Value
}

// Number is a whole number with its place.
type Number struct {
	Value int64
	At    Pos
}

// IsSet reports whether the file says it.
func (n Number) IsSet() bool { return n.At.Line > 0 }

// Flag is a yes or no with its place.
type Flag struct {
	Value bool
	At    Pos
}

// IsSet reports whether the file says it.
func (f Flag) IsSet() bool { return f.At.Line > 0 }

// Value is a named value of any type, as JSON.
type Value struct {
	Name Text
	JSON []byte
	At   Pos
}

// Expect is what has to come out of a case.
type Expect struct {
	At       Pos
	Alerts   []ExpectedAlert
	NoAlerts Flag
	Rollups  []ExpectedRow
	Events   []ExpectedRow
	Ledger   []ExpectedCount
}

// ExpectedAlert is a change of state of an alert.
type ExpectedAlert struct {
	At       Pos
	Name     Text
	State    Text
	Time     Duration
	Severity Text
	Summary  Text
	Revised  Flag
	Labels   []Value
}

// ExpectedRow is a row of a step. Of a rollup, Time is the end of the window; of events, the event time.
type ExpectedRow struct {
	At     Pos
	Of     Text
	Time   Duration
	Fields []Value
}

// ExpectedCount is a count of the ledger.
type ExpectedCount struct {
	Bucket Text
	Count  Number
}
