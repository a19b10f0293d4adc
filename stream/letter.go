package stream

import (
	"context"
	"fmt"
)

// LetterKind says what a dead letter is about.
type LetterKind uint8

// The kinds of dead letters.
const (
	LetterRejected    LetterKind = iota // a record that does not decode or fails validation
	LetterQuarantined                   // a record that makes a step panic, or that takes the process down
	LetterParked                        // a row of an output that the output's server refuses for good
	letterKinds
)

var letterKindNames = [letterKinds]string{"rejected", "quarantined", "parked"}

// LetterKinds lists all kinds.
func LetterKinds() []LetterKind {
	return []LetterKind{LetterRejected, LetterQuarantined, LetterParked}
}

// String is the kind's name in letters, in the API and in metrics.
func (k LetterKind) String() string {
	if k >= letterKinds {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return letterKindNames[k]
}

// MarshalText implements encoding.TextMarshaler.
func (k LetterKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *LetterKind) UnmarshalText(text []byte) error {
	for i, name := range letterKindNames {
		if name == string(text) {
			*k = LetterKind(i)
			return nil
		}
	}
	return fmt.Errorf("read kind of a dead letter: %q is not one of %v", text, letterKindNames)
}

// ParkedRow says where a row was on its way to when its output's server refused it for good.
type ParkedRow struct {
	Sink   string // kind of the sink, which can write it again: "kafka", "redis", "postgres"
	Output string // of the pipeline
	Target string // of the server: a topic, a key
	Name   string // tells the row from all others of the target; a repeat has the same name
	Phase  Phase
	At     Version
}

// Park sets a row aside that the server of an output refuses for good: it takes a dead letter of the kind LetterParked with
// its Row. What was parked before a sink's stage work has returned is acknowledged before the epoch is claimed. Any
// goroutine may call it; a failure stays, and the task starts again from its row.
type Park func(ctx context.Context, row *Rejected) error
