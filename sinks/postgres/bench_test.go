package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// BenchmarkClaim10 claims ten tasks in one call, with records of 600 bytes, and with and without a transition each.
func BenchmarkClaim10(b *testing.B) {
	for _, decisions := range []int{0, 10} {
		b.Run(fmt.Sprintf("decisions=%d", decisions), func(b *testing.B) {
			s := open(b, database(b)).Claims()
			rows := make([]*stream.Checkpoint, 10)
			for i := range rows {
				rows[i] = takeOver(b, s, task("bench", i), "a")
			}
			record := `{"format":1,` + strings.Repeat("x", 600)
			for n := 0; b.Loop(); n++ {
				for i, cp := range rows {
					rows[i] = next(cp, record)
					if i < decisions {
						c := change{rule: "R", host: fmt.Sprint(n, "-", i), from: alerts.Inactive, to: alerts.Firing}
						rows[i].Decisions = []stream.Decision{c.decision(b)}
					}
				}
				if won, err := s.Claim(context.Background(), rows); err != nil || !won[0] {
					b.Fatal(won, err)
				}
			}
		})
	}
}

// BenchmarkStorm claims a task with as many transitions as four tasks have that are claimed together in a storm of alerts.
func BenchmarkStorm(b *testing.B) {
	const storm = 8_000
	s := open(b, database(b)).Claims()
	cp := takeOver(b, s, task("bench", 0), "a")
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		cp = next(cp, `{"format":1}`)
		cp.Decisions = cp.Decisions[:0]
		for i := range storm {
			c := change{rule: "R", host: fmt.Sprint(n, "-", i), from: alerts.Inactive, to: alerts.Firing}
			cp.Decisions = append(cp.Decisions, c.decision(b))
		}
		b.StartTimer()
		if won, err := s.Claim(context.Background(), []*stream.Checkpoint{cp}); err != nil || !won[0] {
			b.Fatal(won, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*storm), "us/transition")
}
