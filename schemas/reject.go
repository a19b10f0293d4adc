package schemas

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tidewatch/tidewatch/stream"
)

// Code names the reason of a rejection. It is stable: dead letters and answers carry it.
type Code string

// The codes.
const (
	InvalidJSON  Code = "invalid_json"
	TooLarge     Code = "too_large"
	MissingField Code = "missing_field"
	WrongType    Code = "wrong_type"
	InvalidTime  Code = "invalid_time"   // text that is no instant
	TimeInFuture Code = "time_in_future" // too far ahead of the record's timestamp
	TimeTooOld   Code = "time_too_old"   // before the year 2000
)

// Rejection is why a record is no event. Its text is the reason of a dead letter: "wrong_type: value: want float, got a
// string".
type Rejection struct {
	Code Code
	Text string
}

// Error implements error.
func (r *Rejection) Error() string { return string(r.Code) + ": " + r.Text }

// CodeOf is the code of a rejection in the chain of err, or "".
func CodeOf(err error) Code {
	if r, ok := errors.AsType[*Rejection](err); ok {
		return r.Code
	}
	return ""
}

func reject(code Code, format string, args ...any) error {
	return stream.Mark(stream.Reject, &Rejection{code, fmt.Sprintf(format, args...)})
}

// rejectText explains a failure of the scanner.
func rejectText(text []byte, failure int) error {
	switch at := ^failure; {
	case failure == tooDeep:
		return reject(InvalidJSON, "more than %d levels of objects and arrays", maxDepth)
	case len(text) == 0:
		return reject(InvalidJSON, "the record is empty")
	case at >= len(text):
		return reject(InvalidJSON, "the text ends too early, after %d bytes", len(text))
	default:
		return reject(InvalidJSON, "unexpected %q at byte %d", text[at], at)
	}
}

// clip shortens a value for a message.
func clip(text []byte) []byte {
	const most = 64
	if len(text) <= most {
		return text
	}
	n := most
	for n > most-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return append(text[:n:n], "…"...)
}
