package serve

import (
	"context"
	"net/http"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

func systemMetrics(ctx context.Context, s *Server, c *call) (reply, error) {
	return s.series(ctx, c, chooserOf(c, systemFamily))
}

func securityMetrics(ctx context.Context, s *Server, c *call) (reply, error) {
	return s.series(ctx, c, chooserOf(c, securityFamily))
}

func performanceMetrics(ctx context.Context, s *Server, c *call) (reply, error) {
	return s.series(ctx, c, performanceChooser(c))
}

func customMetrics(ctx context.Context, s *Server, c *call) (reply, error) {
	return s.series(ctx, c, namedChooser(c))
}

func genericQuery(ctx context.Context, s *Server, c *call) (reply, error) {
	return s.series(ctx, c, pipelineChooser(c))
}

func chooserOf(c *call, family string) chooser {
	return chooser{family: family, types: c.list("types")}
}

func performanceChooser(c *call) chooser {
	return chooser{service: c.path["service"], types: c.list("types"), operations: c.list("operations")}
}

func namedChooser(c *call) chooser {
	if !c.has("name") {
		c.bad("name", "which metric? see %s/outputs", APIBase)
	}
	return chooser{name: c.text("name")}
}

func pipelineChooser(c *call) chooser {
	if !c.has("pipeline") {
		c.bad("pipeline", "which pipeline? see %s/outputs", APIBase)
	}
	return chooser{pipeline: c.text("pipeline"), output: c.text("output")}
}

// chooserFor is the chooser of a route that answers with series.
func chooserFor(c *call) chooser {
	switch c.route.ID {
	case "systemMetrics":
		return chooserOf(c, systemFamily)
	case "securityMetrics":
		return chooserOf(c, securityFamily)
	case "performanceMetrics":
		return performanceChooser(c)
	case "customMetrics":
		return namedChooser(c)
	}
	return pipelineChooser(c)
}

// series answers a question about series.
func (s *Server) series(ctx context.Context, c *call, ch chooser) (reply, error) {
	a, err := askOf(c, ch)
	if err != nil {
		return reply{}, err
	}
	m, err := s.ask(ctx, a, c.now)
	return reply{body: m}, err
}

// ask answers with what is stored now.
func (s *Server) ask(ctx context.Context, a *ask, now time.Time) (*MetricsAnswer, error) {
	all, err := s.targets(ctx)
	if err != nil {
		return nil, err
	}
	plans, err := a.plan(all, now)
	if err != nil {
		return nil, err
	}
	from, to := a.bounds(now)
	parts := make([]part, len(plans))
	for i, p := range plans {
		if parts[i], err = s.evaluate(ctx, p, from, to); err != nil {
			return nil, err
		}
	}
	return a.assemble(parts, from, to)
}

func listOutputs(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	all, err := s.targets(ctx)
	list := OutputList{Items: []OutputInfo{}}
	for i := range all {
		list.Items = append(list.Items, all[i].info)
	}
	return reply{body: list}, err
}

// Limits of a submission.
const (
	maxEvents   = 1000
	metricTopic = "metrics"
)

func submitMetrics(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	var body CustomMetrics
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	if n := len(body.Metrics); n == 0 || n > maxEvents {
		return reply{}, failure(http.StatusBadRequest, "bad_request", "the request has mistakes", ProblemDetail{"body.metrics", "give 1 to 1000 events"})
	}
	receipt, err := s.submit(ctx, body.Metrics, stream.TimeOf(c.now))
	if err != nil {
		return reply{}, err
	}
	switch {
	case receipt.Accepted == 0:
		return reply{status: http.StatusUnprocessableEntity, body: receipt}, nil
	case len(receipt.Rejected) > 0:
		return reply{status: http.StatusMultiStatus, body: receipt}, nil
	}
	return reply{status: http.StatusAccepted, body: receipt}, nil
}
