package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/internal/devstack"
)

// usualFolder is where up keeps everything unless told otherwise. There the other commands find the configuration.
const usualFolder = "tidewatch-data"

// demoText says what each demo is.
func demoText(name string) string {
	switch name {
	case demoHost:
		return "host: this machine, measured"
	case demoSelf:
		return "self: tidewatch itself, measured"
	case demoTrail:
		return "cloudtrail: real records of an attack on AWS, shifted to now (original_time is kept)"
	case demoSim:
		return "sim: generated hosts, services and users; a brute force succeeds 20 s after the first start"
	}
	return "none: nothing is sent but by you"
}

// banner tells a person what there is, what stays, how to end it, and what to try.
func (a *app) banner(f *upFlags, w *worker, stack *devstack.Stack, took time.Duration) {
	if a.quiet {
		return
	}
	folder, config := stack.Dir(), ""
	if filepath.Clean(f.dir) != usualFolder || f.ephemeral {
		config = " -c " + w.file
	}
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "  %-9s %s\n", name, text) }
	fmt.Fprintf(&b, "\ntidewatch is up (%.1fs), on this machine only and for trying out\n\n", took.Seconds())
	line("page", "http://"+w.config.HTTP.Listen+"/")
	line("API", "http://"+w.config.HTTP.Listen+"/api/v2/status   metrics: http://"+w.config.HTTP.Admin+"/metrics")
	line("Kafka", strings.Join(stack.Brokers(), ",")+"   topics metrics and security take your JSON events")
	line("Redis", stack.RedisURL())
	for i, d := range slices.Compact(slices.Clone(f.demo)) {
		name := ""
		if i == 0 {
			name = "demo"
		}
		line(name, demoText(d))
	}
	line("folder", folder)
	if f.ephemeral {
		line("", "nothing persists: the folder goes when this ends")
	} else {
		line("", "everything persists; the same command goes on with it, rm -r removes it")
	}
	line("", keeps(f.keepMiB))
	line("config", w.file)
	line("stop", "Ctrl-C")
	fmt.Fprintf(&b, `
try next, in another terminal
  tidewatch top%[1]s
  tidewatch query host-cpu --by host --last 15m --chart%[1]s
  tidewatch alert ls%[1]s
  tidewatch doctor%[1]s
  duckdb -c "SELECT host, count(*) AS events, avg(value) AS cpu FROM read_parquet('%[2]s/objects/raw/topic=metrics/**/*.parquet')
             WHERE name = 'system.cpu.utilization' GROUP BY host ORDER BY cpu DESC"     (the first file comes after a minute)

`, config, filepath.ToSlash(folder))
	fmt.Fprint(a.errs, b.String())
}

// keeps says what of the folder grows, and what does not.
func keeps(mib int64) string {
	kafka := fmt.Sprintf("Kafka keeps %d MiB of each partition (--kafka-keep-mib)", mib)
	if mib == 0 {
		kafka = "Kafka keeps seven days"
	}
	return kafka + "; objects/raw and objects/rollups are the archive, which stays until you delete it"
}
