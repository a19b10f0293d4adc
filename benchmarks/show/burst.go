package main

import (
	"context"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// burstReport is the line that show-burst prints.
type burstReport struct {
	Rate  int64   `json:"events_per_second"`
	Times float64 `json:"times"`
	Burst float64 `json:"burst_s"`
	exactReport
	Before    float64 `json:"rss_before_mb"`
	During    float64 `json:"rss_peak_mb"` // until the burst was worked off
	After     float64 `json:"rss_after_mb"`
	Held      float64 `json:"heap_growth_mb"` // live heap: the most until then, less the most before
	Lag       int64   `json:"lag_max"`        // records
	Catchup   float64 `json:"catchup_seconds"`
	LoadStart float64 `json:"load_before"`
	Machine   string  `json:"machine"`
}

// burstHeap is the MB that the live heap may grow by in a burst. The archive of each of four partitions holds at most two row groups of
// 122,880 rows, and what is encoded of its open file; at the normal rate a file ends long before.
const burstHeap = 400

// burst shows that a rush of events is worked off within bounded memory: what does not fit waits in Kafka.
func burst(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("burst", flag.ContinueOnError)
	r := &outageRun{}
	binary := f.String("binary", "bin/tidewatch", "the product")
	seed := f.Uint64("seed", 1, "of the events")
	times := f.Float64("times", 10, "how many times the normal rate")
	f.Int64Var(&r.rate, "rate", 5000, "events a second, normally")
	f.DurationVar(&r.away, "for", time.Minute, "length of the burst")
	f.DurationVar(&r.calm, "calm", 45*time.Second, "time before and after")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is equal")
	if err := f.Parse(args); err != nil {
		return err
	}
	r.rush = rush{from: int64(float64(r.rate) * r.calm.Seconds()), times: *times}
	r.rush.to = r.rush.from + int64(float64(r.rate)**times*r.away.Seconds())
	r.events = (r.rush.to + r.rush.from) / exactPartitions * exactPartitions
	r.rng = rand.New(rand.NewPCG(*seed, 99))
	dir, done, err := workFolder(*keep, "show-burst")
	if err != nil {
		return err
	}
	if r.c, err = bed.For(ctx, dir, *binary, "exact.yaml", exactPipeline); err != nil {
		return err
	}
	report := &burstReport{Rate: r.rate, Times: *times, Burst: r.away.Seconds(), LoadStart: loadAverage(), Machine: machine()}
	err = r.rushes(ctx, *seed, report)
	if err = errors.Join(err, r.c.Close()); err != nil {
		return err
	}
	return done(printReport(report, report.good() && report.Held < burstHeap && report.Catchup >= 0))
}

// rushes watches the worker through the burst, and compares.
func (r *outageRun) rushes(ctx context.Context, seed uint64, p *burstReport) (err error) {
	began := time.Now()
	return r.through(ctx, seed, func(ctx context.Context) error {
		if err := r.watch(ctx, r.calm, nil); err != nil {
			return err
		}
		before := len(r.samples)
		progress("%.0f events a second for %s", float64(r.rate)*p.Times, r.away)
		over := time.Now().Add(r.away)
		if err := r.watch(ctx, r.away, nil); err != nil {
			return err
		}
		p.Catchup = -1
		err := r.watch(ctx, 5*time.Minute, func(s *outageSample) bool {
			if s.lag < 0 || s.lag > r.rate {
				return false
			}
			p.Catchup = max(math.Round(s.at.Sub(over).Seconds()*10)/10, 0) // a look may come before the end
			return true
		})
		after := len(r.samples)
		if err == nil {
			err = r.watch(ctx, r.calm/2, nil)
		}
		rss := func(s outageSample) float64 { return s.rss }
		heap := func(s outageSample) float64 { return s.heap }
		calm, rush := r.samples[:before], r.samples[before:after]
		p.Before, p.During, p.After = most(calm, rss), most(rush, rss), most(r.samples[max(len(r.samples)-5, 0):], rss)
		p.Held = math.Round(most(rush, heap) - most(calm, heap))
		for _, s := range rush {
			p.Lag = max(p.Lag, s.lag)
		}
		return err
	}, func(equal *exactReport) {
		p.exactReport = *equal
		p.Seconds = math.Round(time.Since(began).Seconds())
	})
}
