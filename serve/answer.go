package serve

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/tidewatch/tidewatch/stream"
)

// Problem is the body of every error: application/problem+json (RFC 9457) with a stable code.
type Problem struct {
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Code      string          `json:"code" doc:"What went wrong, for programs; it never changes."`
	Detail    string          `json:"detail,omitempty" doc:"What went wrong, for people, and what to do."`
	Errors    []ProblemDetail `json:"errors,omitempty" doc:"Every mistake of the request."`
	RequestID string          `json:"request_id,omitempty"`
}

// ProblemDetail points at one mistake of a request.
type ProblemDetail struct {
	Location string `json:"location" doc:"query.NAME, path.NAME or body."`
	Message  string `json:"message"`
}

// Failure is the error of a handler that knows what to answer.
type Failure struct{ Problem Problem }

// Error implements error.
func (f *Failure) Error() string { return f.Problem.Code + ": " + f.Problem.Detail }

func failure(status int, code, detail string, errs ...ProblemDetail) error {
	return &Failure{Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Errors: errs}}
}

func notFound(detail string) error { return failure(http.StatusNotFound, "not_found", detail) }

// problemOf is what a client is told about an error. Causes that may name hosts stay in the log: known says whether the
// text is meant for the client.
func problemOf(err error) (p Problem, known bool) {
	var f *Failure
	switch {
	case errors.As(err, &f):
		return f.Problem, true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		errors.As(failure(http.StatusGatewayTimeout, "timeout", "it took too long: ask for less at once"), &f)
	case stream.KindOfError(err) == stream.Reject:
		errors.As(failure(http.StatusBadRequest, "bad_request", err.Error()), &f)
		return f.Problem, true
	default:
		errors.As(failure(http.StatusServiceUnavailable, "store_unavailable", "a store does not answer; see the worker's log"), &f)
	}
	return f.Problem, false
}

// problem answers with one.
func problem(w http.ResponseWriter, p Problem) {
	p.RequestID = w.Header().Get(requestIDHeader)
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	write(w, p.Status, p)
}

// refuse answers with a new problem.
func refuse(w http.ResponseWriter, status int, code, detail string) {
	problem(w, Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail})
}

func answer(w http.ResponseWriter, status int, body any) {
	if status == 0 {
		status = http.StatusOK
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	write(w, status, body)
}

// write encodes before the status is sent, so that a failure is no half answer.
func write(w http.ResponseWriter, status int, body any) {
	data, ready := body.(json.RawMessage)
	if !ready {
		var err error
		if data, err = json.Marshal(body); err != nil {
			http.Error(w, `{"code":"internal"}`, http.StatusInternalServerError)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the client has gone: nobody to tell
}
