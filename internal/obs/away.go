package obs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Away collects how long what a worker needs has been away. It implements prometheus.Collector.
type Away struct {
	of func() map[string]time.Duration
}

// NewAway asks of at every scrape: by name, 0 for what answers. Any goroutine may call it.
func NewAway(of func() map[string]time.Duration) *Away { return &Away{of} }

func awayDesc() *prometheus.Desc {
	return prometheus.V2.NewDesc("tidewatch_dependency_away_seconds", "How long something that the worker needs has been away; 0 while it answers.",
		prometheus.UnconstrainedLabels([]string{"dependency"}), nil, prometheus.WithUnit("seconds"))
}

// Describe implements prometheus.Collector.
func (a *Away) Describe(out chan<- *prometheus.Desc) { out <- awayDesc() }

// Collect implements prometheus.Collector.
func (a *Away) Collect(out chan<- prometheus.Metric) {
	for name, d := range a.of() {
		out <- prometheus.MustNewConstMetric(awayDesc(), prometheus.GaugeValue, d.Seconds(), name)
	}
}
