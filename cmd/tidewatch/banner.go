package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/devstack"
)

// usualFolder is where up keeps everything unless told otherwise. There the other commands find the configuration.
const usualFolder = "tidewatch-data"

// demoText says what each demo is; again on a folder that was used before.
func demoText(name string, again bool) string {
	switch name {
	case demoHost:
		return "host: this machine, measured"
	case demoSelf:
		return "self: tidewatch itself, measured"
	case demoTrail:
		return "cloudtrail: real records of an attack on AWS, shifted to now (original_time is kept)"
	case demoSim:
		if again {
			return "sim: generated hosts, services and users, with incidents"
		}
		return "sim: generated hosts, services and users, with incidents; a brute force begins in 20 s and succeeds"
	}
	return "none: nothing is sent but by you"
}

// started is what the banner tells of.
type started struct {
	*upFlags
	worker *worker
	plans  []*engine.Plan
	stack  *devstack.Stack
	again  bool // the folder was used before
	took   time.Duration
}

// banner tells a person what there is, what stays, how to end it, and what to try.
func (a *app) banner(s *started) {
	if a.quiet {
		return
	}
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "  %-9s %s\n", name, text) }
	up, http := "up", s.worker.config.HTTP
	if s.again {
		up = "up again"
	}
	fmt.Fprintf(&b, "\ntidewatch is %s (%.1fs), on this machine only and for trying out\n\n", up, s.took.Seconds())
	line("page", "http://"+http.Listen+"/")
	line("API", "http://"+http.Listen+"/api/v2/status")
	line("metrics", "http://"+http.Admin+"/metrics")
	line("Kafka", strings.Join(s.stack.Brokers(), ",")+"   topics metrics and security take your JSON events")
	line("Redis", s.stack.RedisURL())
	for i, d := range slices.Compact(slices.Clone(s.demo)) {
		name := ""
		if i == 0 {
			name = "demo"
		}
		line(name, demoText(d, s.again))
	}
	line("folder", s.stack.Dir())
	for _, text := range s.stays() {
		line("", text)
	}
	line("config", s.worker.file)
	line("stop", "Ctrl-C")
	fmt.Fprint(&b, "\ntry next, in another terminal\n")
	for _, text := range s.next() {
		fmt.Fprintln(&b, "  "+text)
	}
	fmt.Fprintln(a.errs, b.String())
}

// stays says what of the folder persists, what grows, and what does not.
func (s *started) stays() []string {
	if s.ephemeral {
		return []string{"nothing persists: the folder goes when this ends"}
	}
	persists := "everything persists: the same command goes on with it, rm -r removes it"
	if s.again {
		persists = "it goes on where it was stopped; rm -r removes everything"
	}
	kafka := fmt.Sprintf("Kafka keeps %d MiB of each partition (--kafka-keep-mib)", s.keepMiB)
	if s.keepMiB == 0 {
		kafka = "Kafka keeps seven days"
	}
	return []string{persists, kafka + ", the archive in objects everything until you delete it"}
}

// next lists commands that have something to show with these pipelines and demos.
func (s *started) next() []string {
	config := ""
	if filepath.Clean(s.dir) != usualFolder || s.ephemeral {
		config = " -c " + s.worker.file
	}
	runs := func(pipeline string) bool {
		return slices.ContainsFunc(s.plans, func(p *engine.Plan) bool { return p.Pipeline == pipeline })
	}
	measured := slices.Contains(s.demo, demoHost) || slices.Contains(s.demo, demoSim)
	lines := []string{"tidewatch top" + config}
	switch {
	case measured && runs("host-cpu"):
		lines = append(lines, "tidewatch query host-cpu --by host --last 15m --chart"+config)
	case slices.Contains(s.demo, demoTrail) && runs("api-activity"):
		lines = append(lines, "tidewatch query api-activity --by user --last 15m"+config)
	case slices.Contains(s.demo, demoNone):
		lines = append(lines, "tidewatch gen --scenario hosts --hosts 5 --events 2000 --rate 20 --to kafka:metrics"+config)
	}
	lines = append(lines, "tidewatch alert ls"+config, "tidewatch doctor"+config)
	switch {
	case measured && runs("archive.metrics"):
		return append(lines, s.sql("metrics", "SELECT host, count(*) AS events, avg(value) AS cpu", "WHERE name = 'system.cpu.utilization' GROUP BY host ORDER BY cpu DESC LIMIT 10")...)
	case slices.Contains(s.demo, demoTrail) && runs("archive.security"):
		return append(lines, s.sql("security", "SELECT operation, count(*) AS calls", "WHERE class = 'api_activity' GROUP BY operation ORDER BY calls DESC LIMIT 10")...)
	}
	return lines
}

// sql is a question to the archive of a topic. DuckDB calls it an error when there is no file.
func (s *started) sql(topic, choose, where string) []string {
	folder := filepath.Join(s.stack.Dir(), "objects", "raw", "topic="+topic)
	var lines []string
	if !hasArchive(folder) {
		lines = append(lines, "and when the archive has its first file, in a minute or two")
	}
	return append(lines, `duckdb -c "`+choose, "           FROM read_parquet('"+filepath.ToSlash(folder)+"/**/*.parquet')", "           "+where+`"`)
}

// hasArchive reports whether there is a file of the archive below the folder.
func hasArchive(folder string) (found bool) {
	_ = filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error { // a folder that is not there has none
		if found = err == nil && filepath.Ext(path) == ".parquet"; found {
			return fs.SkipAll
		}
		return err
	})
	return found
}
