package serve

import (
	"cmp"
	"context"
	"net/http"
)

// Applier lets new versions of pipelines follow those that run. Used from any goroutine.
type Applier interface {
	// Apply makes each pipeline of the text follow the version that runs. An error made by Refused or NotReady is told to the
	// client.
	Apply(ctx context.Context, r ApplyRequest) (ApplyAnswer, error)
}

// ApplyRequest is the body of a change of pipelines.
type ApplyRequest struct {
	Text   string `json:"text" doc:"The pipeline file: YAML."`
	File   string `json:"file,omitempty" doc:"Where the text is from, for people."`
	By     string `json:"by,omitempty" doc:"Who applies it, where no tokens are asked for; else it is the name of the token."`
	DryRun bool   `json:"dry_run,omitempty" doc:"Check it, and say what would happen."`
}

// ApplyAnswer says what was begun, or what a dry run would have.
type ApplyAnswer struct {
	Pipelines []AppliedPipeline `json:"pipelines"`
}

// AppliedPipeline is one pipeline of the file.
type AppliedPipeline struct {
	Pipeline  string   `json:"pipeline"`
	Instance  string   `json:"instance" doc:"Name and version."`
	Unchanged bool     `json:"unchanged,omitempty" doc:"This version runs already."`
	Before    string   `json:"before,omitempty" doc:"The version that it follows."`
	Since     *Instant `json:"since,omitempty" doc:"The cut: windows that start then or later are the new version's, all others the old one's."`
	Inherits  []string `json:"inherits,omitempty" doc:"Steps that go on with what they knew: pending and firing alerts, what was seen."`
	Fresh     []string `json:"fresh,omitempty" doc:"Steps that begin without memory, because they or what comes before them changed."`
}

// Refused is an error about a text that cannot be applied.
func Refused(detail string) error {
	return failure(http.StatusUnprocessableEntity, "refused", detail)
}

// NotReady is an error that goes away by itself in a moment.
func NotReady(detail string) error {
	return failure(http.StatusServiceUnavailable, "not_ready", detail+"; try again in a moment")
}

func applyPipelines(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	var body ApplyRequest
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	if body.Text == "" {
		return reply{}, failure(http.StatusBadRequest, "bad_request", "the request has mistakes", ProblemDetail{"body.text", "it is missing: the text of a pipeline file"})
	}
	if s.guarded() && body.By != "" && body.By != c.caller.name {
		return reply{}, failure(http.StatusBadRequest, "bad_request", "the request has mistakes", ProblemDetail{"body.by", "it is the name of the token: leave it out"})
	}
	body.By = cmp.Or(body.By, c.caller.name)
	if s.c.Applier == nil {
		return reply{}, notFound("pipelines cannot be changed here: ask a worker")
	}
	answer, err := s.c.Applier.Apply(ctx, body)
	return reply{body: answer}, err
}
