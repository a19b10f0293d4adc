package main

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestAnswersAreReadFromTheHistogram(t *testing.T) {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: requestsMetric}, []string{"route"})
	h.WithLabelValues("a").Observe(0.5)
	h.WithLabelValues("b").Observe(1.5)
	sum, err := answersOf(h)
	if err != nil || sum.count != 2 || sum.seconds != 2 {
		t.Fatalf("%+v %v", sum, err)
	}
	points := answerPoints(answers{count: 1, seconds: 0.5}, sum)
	if len(points) != 2 || points[0].Value != 2 || points[1].Value != 1500 || points[1].Unit != "ms" {
		t.Fatalf("%+v", points)
	}
	if again := answerPoints(sum, sum); len(again) != 1 {
		t.Fatalf("nobody asked, and yet: %+v", again)
	}
}

func TestDemosAreExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range demos {
		if text := demoText(d); seen[text] {
			t.Errorf("%s has no text of its own", d)
		} else {
			seen[text] = true
		}
	}
	if trailPause < time.Second {
		t.Error("rounds of the trail follow too soon")
	}
}
