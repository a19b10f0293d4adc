package window_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// BenchmarkBlocks tells which part of a snapshot's blocks was not in the one half a minute before, and what hashing them costs.
func BenchmarkBlocks(b *testing.B) {
	for _, c := range []struct {
		name           string
		hosts, rate    int
		size, lateness time.Duration
	}{
		{"20000 hosts, 10 s + 2 min, 200000 a second", 20_000, 200_000, 10 * time.Second, 2 * time.Minute},
		{"20000 hosts, 1 min + 1 min, 5000 a second", 20_000, 5_000, time.Minute, time.Minute},
		{"1000000 hosts, 1 min + 30 s, 200000 a second", 1_000_000, 200_000, time.Minute, 30 * time.Second},
		{"1000000 hosts, 1 h, 10000 a second", 1_000_000, 10_000, time.Hour, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			cfg := loadConfig()
			cfg.Size, cfg.Lateness = c.size, c.lateness
			v := &blocksRun{op: newTumbling(b, cfg), l: newLoad(c.hosts, c.rate), mark: stream.NoTime}
			v.run(b, min(2*c.size+c.lateness, 5*time.Minute)+7*time.Second)
			before, _ := v.blocks(b)
			v.run(b, 30*time.Second)
			after, used := v.blocks(b)
			var fresh, all int
			for hash, size := range after {
				all += size
				if before[hash] == 0 {
					fresh += size
				}
			}
			for b.Loop() {
			}
			b.ReportMetric(float64(all)/1e6, "MB")
			b.ReportMetric(100*float64(fresh)/float64(all), "%changed")
			b.ReportMetric(float64(used.Microseconds())/1e3, "hash-cpu-ms")
		})
	}
}

type blocksRun struct {
	op   operator
	l    *load
	mark stream.Time
}

// run plays events of so much time.
func (v *blocksRun) run(b *testing.B, d time.Duration) {
	b.Helper()
	for n := int(d/time.Second) * v.l.rate / loadRows; n > 0; n-- {
		if err := v.op.Process(v.l.next(), &nobody{}); err != nil {
			b.Fatal(err)
		}
		to := v.l.advance()
		if to.Mark >= v.op.Grids().Next(v.mark) || v.mark == stream.NoTime {
			if err := v.op.Advance(to, &nobody{}); err != nil {
				b.Fatal(err)
			}
		}
		v.mark = to.Mark
	}
}

// blocks takes a snapshot: the sizes of its blocks, by their hashes.
func (v *blocksRun) blocks(b *testing.B) (sizes map[string]int, used time.Duration) {
	b.Helper()
	w := stream.NewStateWriter()
	if err := v.op.Snapshot(w); err != nil {
		b.Fatal(err)
	}
	data, from := w.Finish(), 0
	sizes = map[string]int{}
	began := cpuTime()
	for _, to := range w.Blocks() {
		sum := sha256.Sum256(data[from:to])
		sizes[fmt.Sprintf("%x", sum)] = to - from
		from = to
	}
	return sizes, cpuTime() - began
}
