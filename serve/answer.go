package serve

import (
	"encoding/json"
	"net/http"
)

// Problem is the body of every error: application/problem+json (RFC 9457) with a stable code.
type Problem struct {
	Title  string          `json:"title"`
	Status int             `json:"status"`
	Code   string          `json:"code"`
	Detail string          `json:"detail,omitempty"`
	Errors []ProblemDetail `json:"errors,omitempty"`
}

// ProblemDetail points at one mistake of a request.
type ProblemDetail struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

func problem(w http.ResponseWriter, status int, code, detail string, errs ...ProblemDetail) {
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, status, Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Errors: errs})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	write(w, http.StatusOK, body)
}

// write encodes before the status is sent, so that a failure is no half answer.
func write(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, `{"code":"internal"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the client has gone: nobody to tell
}
