package stream

import "errors"

// ErrorKind says what the engine does about an error.
type ErrorKind uint8

// The three kinds. An error that nobody marked is Fatal.
const (
	Fatal  ErrorKind = iota // stop the task and report
	Retry                   // try again with back-off: a dependency is away
	Reject                  // this event goes to the dead letters, the stream goes on
)

// ErrStartOver is wrapped by a Retry error after which repeating the call does not help: the task takes over again and
// replays from its row, because nobody knows what of its outputs has arrived.
var ErrStartOver = errors.New("the task must start again from its row")

// Error carries a kind with its cause. The kind is set where it is known, once.
type Error struct {
	Kind ErrorKind
	Err  error
}

// Error implements error with the text of the cause.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Mark gives err a kind; nil stays nil.
func Mark(kind ErrorKind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Err: err}
}

// KindOfError is the kind of the outermost marked error in the chain, or Fatal.
func KindOfError(err error) ErrorKind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Fatal
}
