package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sources/host"
)

// requestsMetric is what the API counts its answers in.
const requestsMetric = "tidewatch_http_request_seconds"

// answers are the answers of the API so far.
type answers struct {
	count   uint64
	seconds float64
}

// measureSelf sends how far the pipelines of this worker are behind, their epochs, and the answers of its API.
func (w *worker) measureSelf(ctx context.Context, client *kgo.Client) error {
	labels := host.Labels{Service: "tidewatch", Tenant: "local", Attributes: []host.Attribute{demoOrigin(demoSelf)}}
	var before answers
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.System{}.After(demoEvery):
		}
		points := w.selfPoints()
		if server := w.api.Load(); server != nil {
			now, err := answersOf(server.Metrics())
			if err != nil {
				return err
			}
			points = append(points, answerPoints(before, now)...)
			before = now
		}
		if err := sendPoints(ctx, client, points, clock.System{}.Now(), &labels); err != nil {
			return err
		}
	}
}

// selfPoints are those of the pipelines. A lag that is unknown is left out.
func (w *worker) selfPoints() (points []host.Point) {
	tasks := w.runner.Status()
	for _, p := range w.plans {
		var lag, epochs int64
		var behind time.Duration
		known, found := true, false
		for i := range tasks {
			t := &tasks[i]
			if t.Task.Instance != p.Instance {
				continue
			}
			found = true
			epochs += t.Epoch
			if t.Lag < 0 {
				known = false
				continue
			}
			lag, behind = lag+t.Lag, max(behind, t.LagTime)
		}
		if !found {
			continue
		}
		of := []host.Attribute{{Name: "pipeline", Value: p.Pipeline}}
		points = append(points, host.Point{Name: "tidewatch.epochs", Kind: "sum", Unit: "{epoch}", Value: float64(epochs), Attributes: of})
		if known {
			points = append(points, host.Point{Name: "tidewatch.lag.records", Kind: "gauge", Unit: "{record}", Value: float64(lag), Attributes: of},
				host.Point{Name: "tidewatch.lag.time", Kind: "gauge", Unit: "s", Value: behind.Seconds(), Attributes: of})
		}
	}
	return points
}

// answersOf sums up the answers of all routes.
func answersOf(c prometheus.Collector) (sum answers, err error) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(c); err != nil {
		return sum, fmt.Errorf("read own figures: %w", err)
	}
	families, err := reg.Gather()
	if err != nil {
		return sum, fmt.Errorf("read own figures: %w", err)
	}
	for _, f := range families {
		if f.GetName() != requestsMetric {
			continue
		}
		for _, m := range f.GetMetric() {
			sum.count += m.GetHistogram().GetSampleCount()
			sum.seconds += m.GetHistogram().GetSampleSum()
		}
	}
	return sum, nil
}

// answerPoints are the requests so far, and the mean duration of those since the last measurement, if there were any.
func answerPoints(before, now answers) []host.Point {
	points := []host.Point{{Name: "tidewatch.http.requests", Kind: "sum", Unit: "{request}", Value: float64(now.count)}}
	if n := now.count - before.count; now.count > before.count {
		mean := (now.seconds - before.seconds) / float64(n) * float64(time.Second/time.Millisecond)
		points = append(points, host.Point{Name: "tidewatch.http.request.duration", Kind: "gauge", Unit: "ms", Value: mean})
	}
	return points
}
