package serve

import (
	"context"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

func status(_ context.Context, s *Server, c *call) (reply, error) {
	return reply{body: s.c.Status.Status()}, c.mistakes()
}

func listPipelines(_ context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	now := s.c.Status.Status()
	list := PipelineList{Items: []PipelineInfo{}}
	for _, d := range s.c.Status.Pipelines() {
		list.Items = append(list.Items, pipelineInfo(d, &now))
	}
	return reply{body: list}, nil
}

// pipelineInfo sums up the tasks of this worker.
func pipelineInfo(d *pipelines.Description, now *StatusAnswer) PipelineInfo {
	p := PipelineInfo{Name: d.Name, About: d.About, Instance: d.Instance, State: "idle", Topics: d.Topics, Alerts: []string{}, Ledger: map[string]int64{}}
	for _, r := range d.Rules {
		p.Alerts = append(p.Alerts, r.Name)
	}
	st := statusOf(d, now)
	if st == nil {
		return p
	}
	p.CompleteThrough, p.Ledger, p.LedgerDiff, p.Partitions = st.CompleteThrough, st.Ledger, st.LedgerDiff, len(st.Partitions)
	lowest := stream.MaxTime
	var lag int64
	known := true
	for i := range st.Partitions {
		t := &st.Partitions[i]
		p.State = worse(p.State, t.State)
		if p.Problem == "" {
			p.Problem = t.Problem
		}
		if t.Lag == nil {
			known = false
		} else {
			lag += *t.Lag
		}
		p.LagSeconds = max(p.LagSeconds, t.LagSeconds)
		if t.Watermark == nil {
			lowest = stream.NoTime
		} else {
			lowest = min(lowest, stream.Time(*t.Watermark))
		}
	}
	if known && len(st.Partitions) > 0 {
		p.Lag = &lag
	}
	p.Watermark = InstantOf(lowest)
	return p
}

// worse is the state that needs attention first.
func worse(a, b string) string {
	order := []string{"idle", "running", "starting", "isolating", "failed"}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

func statusOf(d *pipelines.Description, now *StatusAnswer) *PipelineStatus {
	i := slices.IndexFunc(now.Pipelines, func(p PipelineStatus) bool { return p.Instance == d.Instance })
	if i < 0 || d.Instance == "" {
		return nil
	}
	return &now.Pipelines[i]
}

func onePipeline(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	all := s.c.Status.Pipelines()
	i := slices.IndexFunc(all, func(d *pipelines.Description) bool { return d.Name == c.path["name"] })
	if i < 0 {
		var names []string
		for _, d := range all {
			names = append(names, d.Name)
		}
		return reply{}, notFound("there is no pipeline " + c.path["name"] + "; there are " + strings.Join(names, ", "))
	}
	now := s.c.Status.Status()
	p := detailOf(all[i], &now)
	targets, err := s.targets(ctx)
	for j := range targets {
		if t := &targets[j]; t.info.Pipeline == p.Name {
			p.Outputs = append(p.Outputs, t.info)
		}
	}
	return reply{body: p}, err
}

func detailOf(d *pipelines.Description, now *StatusAnswer) PipelineDetail {
	p := PipelineDetail{
		PipelineInfo: pipelineInfo(d, now), File: d.File, Source: d.Text, Time: PipelineTime{Span(d.OutOfOrder), Span(d.Lateness)},
		Graph: Graph{[]GraphNode{}, []GraphEdge{}}, Rules: []RuleInfo{}, Outputs: []OutputInfo{}, Tasks: []PartitionStatus{},
	}
	for _, n := range d.Nodes {
		p.Graph.Nodes = append(p.Graph.Nodes, GraphNode(n))
	}
	for _, e := range d.Edges {
		p.Graph.Edges = append(p.Graph.Edges, GraphEdge(e))
	}
	for _, r := range d.Rules {
		p.Rules = append(p.Rules, RuleInfo{
			Name: r.Name, When: r.When, For: Span(r.For), KeepFiringFor: Span(r.KeepFiringFor), Severity: r.Severity, Summary: r.Summary, Labels: r.Labels,
		})
	}
	if st := statusOf(d, now); st != nil {
		p.Tasks = st.Partitions
	}
	return p
}

func ledger(ctx context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	rows, err := s.c.Status.Ledger(ctx)
	a := LedgerAnswer{Items: rows, Total: map[string]int64{}}
	if rows == nil {
		a.Items = []LedgerRow{}
	}
	for i := range rows {
		for bucket, n := range rows[i].Ledger {
			a.Total[bucket] += n
		}
		a.Difference += max(rows[i].Difference, -rows[i].Difference)
	}
	return reply{body: a}, err
}
