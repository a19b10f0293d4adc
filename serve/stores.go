package serve

import (
	"context"
	"errors"
	"time"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// What the server needs of the rest. cmd/tidewatch hands it in; everything is safe for concurrent use. Errors are marked
// stream.Retry where a store is away and stream.Reject where the question makes no sense.

// Status tells how this worker stands.
type Status interface {
	// Status is a fresh copy.
	Status() StatusAnswer
	// Ready is nil when everything the worker needs answers and what it serves is complete; otherwise it says what is not.
	Ready(ctx context.Context) error
	// Pipelines describes what is configured, sorted by name.
	Pipelines() []*pipelines.Description
	// Ledger lists the tasks of all workers as of their newest claims, sorted by task.
	Ledger(ctx context.Context) ([]LedgerRow, error)
}

// Rollups is where windows are read.
type Rollups interface {
	// Outputs lists all outputs, sorted by pipeline and name.
	Outputs(ctx context.Context) ([]RollupOutput, error)
	// Read answers a query with every window that is kept.
	Read(ctx context.Context, q RollupQuery) (*RollupResult, error)
	// Subscribe calls f with every change of the output from now on until ctx is done; the first notice is a gap. f is
	// called by this goroutine and must be quick.
	Subscribe(ctx context.Context, o RollupOutput, f func(RollupNotice)) error
}

// RollupOutput is an output as the store knows it.
type RollupOutput struct {
	Pipeline, Name, Instance string
	Fields                   []stream.Field // group columns first, then values
	Groups                   int            // number of group columns
	Window, Every, Keep      time.Duration
	// Since is the start of the first window of this version of the pipeline, and Before the output of the version before,
	// which has the windows that start earlier; nil if there is none. The store reads and tells both.
	Since  stream.Time
	Before *RollupOutput
}

// RollupQuery chooses points of one output: From <= start of the window < To.
type RollupQuery struct {
	Output   RollupOutput
	From, To stream.Time
	Where    map[string]string // values of group columns, as text
	Columns  []string          // values wanted, in order
}

// RollupResult is the answer to a RollupQuery.
type RollupResult struct {
	Series          []RollupSeries // sorted by labels
	CompleteThrough stream.Time    // NoTime while unknown
}

// RollupSeries are the points of a group, oldest first.
type RollupSeries struct {
	Labels  []string // of the group columns in order, as text
	Null    []bool   // group columns without a value
	Start   []stream.Time
	Columns []stream.Column // parallel to RollupQuery.Columns, each as long as Start
}

// RollupNotice tells that windows have changed.
type RollupNotice struct {
	Windows []stream.Time // starts
	Gap     bool          // something was missed: everything may have changed
}

// Log is the broker: what people write to it, and what they look up.
type Log interface {
	// Append returns when the brokers have every record that has no error, in order of the records.
	Append(ctx context.Context, records []LogRecord) ([]LogPlace, []error)
	// Record reads one record; ErrNoRecord if there is none.
	Record(ctx context.Context, at LogPlace) (LogEntry, error)
	// Letters reads records with dead letters backwards from a cursor of an earlier page, or from the end.
	Letters(ctx context.Context, f LetterFilter) (LetterPage, error)
	// Letter reads one record by the place of one of its letters on the topic; ErrNoRecord if there is none.
	Letter(ctx context.Context, partition int32, offset int64) (Letter, error)
}

// ErrNoRecord is wrapped by errors about a record that the log does not have (any more).
var ErrNoRecord = errors.New("no such record")

// LogRecord is a record to append.
type LogRecord struct {
	Topic      string
	Key, Value []byte // a record without a key goes to any partition
}

// LogEntry is a record that was read.
type LogEntry struct {
	LogPlace
	Timestamp  time.Time
	Key, Value []byte
	Headers    []RecordHeader
}

// LetterFilter chooses records with dead letters, those with the newest letters first.
type LetterFilter struct {
	Pipeline, Topic string
	Reason          string       // a part of it
	Kinds           []LetterKind // none are all
	States          []LetterState
	Cursor          string // "" is the end of the topic
	Limit           int    // records that pass
	Budget          int    // letters that are looked at
}

// LetterPage is a page of records with dead letters.
type LetterPage struct {
	Items   []Letter
	Cursor  string // where the next page begins; "" at the beginning of the topic
	Scanned int
	OnTopic int64
}

// Letter is a rejected record with what the dead letters about it say: at least one rejection. On a page Raw may be cut.
type Letter struct {
	Topic, Incarnation string
	Partition          int32
	Offset             int64
	Timestamp          string
	Key, Raw           []byte
	Size               int
	State              LetterState
	Handled            *LetterHandling // nil if it is open
	Rejections         []LetterRejection
}
