package main

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/serve"
)

// topState is what the server said at one time.
type topState struct {
	hosts     seriesAnswer
	total     int // series, before the highest were chosen
	pipelines []pipelineRow
	alerts    []alerts.Alert
	counts    serve.AlertCounts
	err       error // of any question
}

// pipelineRow is what the API says about a pipeline.
type pipelineRow struct {
	Name            string           `json:"name"`
	State           string           `json:"state"`
	Problem         string           `json:"problem"`
	Lag             *int64           `json:"lag"`
	LagSeconds      float64          `json:"lag_seconds"`
	Watermark       *time.Time       `json:"watermark"`
	CompleteThrough *time.Time       `json:"complete_through"`
	Ledger          map[string]int64 `json:"ledger"`
	LedgerDiff      int64            `json:"ledger_diff"`
	Partitions      int              `json:"partitions"`
}

// topSeries is how many series top asks for: those with the highest values.
const topSeries = "500"

// fetchTop asks everything at once.
func fetchTop(ctx context.Context, c *client) topState {
	var s topState
	var hosts struct {
		seriesAnswer
		Total int `json:"series_total"`
	}
	var pipelines struct {
		Items []pipelineRow `json:"items"`
	}
	var active alerts.Page
	var wg sync.WaitGroup
	errs := make([]error, 4)
	ask := func(i int, path string, query url.Values, into any) {
		wg.Go(func() { errs[i] = c.get(ctx, path, query, into) })
	}
	ask(0, "/metrics/system", url.Values{"last": {"5m"}, "step": {ownStep}, "top": {topSeries}}, &hosts)
	ask(1, "/pipelines", nil, &pipelines)
	ask(2, "/metrics/alerts/active", url.Values{"limit": {"200"}}, &active)
	ask(3, "/metrics/alerts/counts", nil, &s.counts)
	wg.Wait()
	for _, err := range errs {
		s.err = cmp.Or(s.err, err)
	}
	s.hosts, s.total, s.pipelines, s.alerts = hosts.seriesAnswer, hosts.Total, pipelines.Items, active.Items
	return s
}

// hostLine is a line of the hosts tab.
type hostLine struct {
	name   string
	values map[string]float64 // by column, the newest; the highest where a host has several (disks)
	newest time.Time
	recent []float64 // of the first column, oldest first
}

// hostsOf turns series into lines, the busiest first, and names the columns.
func hostsOf(m *seriesAnswer) (hosts []*hostLine, columns []topColumn) {
	byName := map[string]*hostLine{}
	for i := range m.Series {
		s := &m.Series[i]
		name := s.Labels["host"]
		if name == "" || len(s.Points) == 0 {
			continue
		}
		column := topColumn{title: metricTitle(s.Name), unit: s.Unit}
		if !slices.ContainsFunc(columns, func(c topColumn) bool { return c.title == column.title }) {
			columns = append(columns, column)
		}
		h := byName[name]
		if h == nil {
			h = &hostLine{name: name, values: map[string]float64{}}
			byName[name] = h
			hosts = append(hosts, h)
		}
		h.take(s, column.title)
	}
	slices.SortFunc(columns, func(a, b topColumn) int {
		return cmp.Or(cmp.Compare(metricRank(a.title), metricRank(b.title)), cmp.Compare(a.title, b.title))
	})
	slices.SortFunc(hosts, func(a, b *hostLine) int {
		for _, c := range columns[:min(len(columns), 1)] {
			if d := cmp.Compare(b.values[c.title], a.values[c.title]); d != 0 {
				return d
			}
		}
		return cmp.Compare(a.name, b.name)
	})
	return hosts, columns
}

// topColumn is a metric of hosts.
type topColumn struct{ title, unit string }

func (h *hostLine) take(s *series, title string) {
	last := s.Points[len(s.Points)-1]
	if v, err := last[1].Float64(); err == nil {
		if old, ok := h.values[title]; !ok || v > old {
			h.values[title] = v
		}
	}
	if end := at(last).Add(time.Duration(s.Step)); end.After(h.newest) {
		h.newest = end
	}
	if metricRank(title) > 0 || h.recent != nil {
		return
	}
	for _, p := range s.Points {
		if v, err := p[1].Float64(); err == nil {
			h.recent = append(h.recent, v)
		}
	}
}

// metricTitle is the word that people use for a metric: system.cpu.utilization is CPU.
func metricTitle(name string) string {
	words := strings.Split(name, ".")
	if len(words) < 2 {
		return strings.ToUpper(name)
	}
	switch words[1] {
	case "filesystem":
		return "DISK"
	case "utilization", "usage":
		return strings.ToUpper(words[0])
	}
	return strings.ToUpper(words[1])
}

func metricRank(title string) int {
	if i := slices.Index([]string{"CPU", "MEMORY", "DISK", "NETWORK"}, title); i >= 0 {
		return i
	}
	return 9
}
