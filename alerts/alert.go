package alerts

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// State is where an alert is in its life.
type State string

// The states, as they are written in JSON and in rows.
const (
	Inactive State = "inactive"
	Pending  State = "pending"
	Firing   State = "firing"
	Resolved State = "resolved"
)

// States lists all states in the order of an alert's life.
func States() []State { return []State{Inactive, Pending, Firing, Resolved} }

// Terminal reports whether an alert in this state never changes again: the next episode has another id.
func (s State) Terminal() bool { return s == Resolved || s == Inactive }

// Severity is how bad the author of a rule finds it.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Severities lists all severities, mildest first.
func Severities() []Severity { return []Severity{Info, Warning, Critical} }

// Alert is one firing episode of one group, in the JSON form that the API shows. All times are event times in UTC.
type Alert struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"` // of the rule
	Severity Severity `json:"severity"`
	State    State    `json:"state"`
	// Labels are the group's columns (a null one is missing) and the labels of the rule.
	Labels    map[string]string `json:"labels"`
	Summary   string            `json:"summary"`    // as it was when the condition held last at a change of state
	StartedAt time.Time         `json:"started_at"` // end of the first window of the episode in which the condition held
	UpdatedAt time.Time         `json:"updated_at"` // of the last change of state
	// Value is what the rule looks at (the first aggregate in its condition) in Window. It is null where the group had no
	// row, or no number.
	Value    *float64 `json:"value"`
	Pipeline string   `json:"pipeline"`
	Version  string   `json:"version"` // of the pipeline
	Window   Window   `json:"window"`  // that the last change of state was judged on
	// CompleteThrough is the end of Window, or less if an idle tick had closed it: then only what lies before is final.
	CompleteThrough time.Time `json:"complete_through,omitzero"`
	Revised         bool      `json:"revised"` // a window of the episode has got another value after it was judged
	// Evidence names the first and the last record of the episode so far; the same record is named once.
	Evidence     []Evidence       `json:"evidence"`
	Acknowledged *Acknowledgement `json:"acknowledged"`
}

// Window is the span [Start, End) of event time that was judged.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// WindowOf converts a window of the kernel.
func WindowOf(w stream.Window) Window { return Window{Start: w.Start.Go(), End: w.End.Go()} }

// Evidence names a record of the log.
type Evidence struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"` // event time
}

// Acknowledgement says who has taken an alert on.
type Acknowledgement struct {
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Note string    `json:"note"`
}

// Fingerprint identifies a group under a rule: the hash of the rule's name and the group's labels, whatever the order of
// its columns. It never depends on the pipeline's version, so an alert keeps its identity when a pipeline is changed.
func Fingerprint(rule string, group map[string]string) string {
	b := appendText(nil, rule)
	for _, name := range slices.Sorted(maps.Keys(group)) {
		b = appendText(appendText(b, name), group[name])
	}
	return shortHash(b)
}

// EpisodeID is the id of the alert that began at started for the group.
func EpisodeID(fingerprint string, started stream.Time) string {
	return shortHash(binary.BigEndian.AppendUint64(appendText(nil, fingerprint), uint64(started)))
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// idBytes leaves room for 2^48 alerts before a collision is to be expected, and an id that still fits on a line.
const idBytes = 12

func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:idBytes])
}

// ValidID reports whether s has the form of an alert's id.
func ValidID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == idBytes
}
