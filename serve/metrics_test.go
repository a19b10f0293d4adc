package serve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gather adds up a metric of the server over its labels.
func gather(s *Server, name string) (sum float64, err error) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(s.Metrics()); err != nil {
		return 0, err
	}
	families, err := reg.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		return sum, nil
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// TestRequestsAreCounted by route, not by path: paths are as many as callers like.
func TestRequestsAreCounted(t *testing.T) {
	s := exampleWorld(t).server(t, nil)
	for _, path := range []string{"/status", "/metrics/alerts/a", "/metrics/alerts/b", "/nothing/at/all"} {
		send(s, "GET", APIBase+path, "")
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(s.Metrics())
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		if f.GetName() == "tidewatch_http_request_seconds" {
			for _, m := range f.GetMetric() {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetValue())
				}
				all = append(all, fmt.Sprint(strings.Join(labels, " "), " ", m.GetHistogram().GetSampleCount()))
			}
		}
	}
	if got, want := strings.Join(all, "; "), "GET alert 404 2; GET other 404 1; GET status 200 1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNamesOfOutputs(t *testing.T) {
	for _, tc := range []struct {
		names []string
		want  string
	}{
		{nil, ""},
		{[]string{"queue"}, "queue"},
		{[]string{"system.network.errors", "system.network.dropped"}, "system.network"},
		{[]string{"system.network.errors", "system.cpu.utilization"}, ""},
		{[]string{"a.b.c", "a.b"}, "a.b"},
	} {
		if got := commonName(tc.names); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.names, got, tc.want)
		}
	}
}
