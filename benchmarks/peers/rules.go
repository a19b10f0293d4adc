package main

import (
	"fmt"
	"strings"
	"time"
)

// rule is one of W6: it looks at the windows of a metric, of every host.
type rule struct {
	name, metric, column string
	above                float64
	hold, keep           time.Duration
}

const (
	ruleCount  = 100
	ruleWindow = 30 * time.Second
)

// rules look for the highest values that hosts of the generator report, so few of the series hold at a time, and many of these only
// now and then. A rule that has to hold for longer has a lower threshold. No mean of fewer than a thousand values, which have four
// decimals, is so near a threshold that the order of adding them matters.
func rules() (all []rule) {
	metrics := []string{"system.cpu.utilization", "system.memory.utilization", "system.filesystem.utilization"}
	holds := []time.Duration{0, 30 * time.Second, time.Minute, 30 * time.Second, 0, time.Minute, 30 * time.Second, 2 * time.Minute}
	mean := map[time.Duration]float64{0: 0.71, 30 * time.Second: 0.70, time.Minute: 0.695, 2 * time.Minute: 0.68}
	most := map[time.Duration]float64{0: 0.747, 30 * time.Second: 0.744, time.Minute: 0.742, 2 * time.Minute: 0.738}
	for i := range ruleCount {
		level := i / 6
		r := rule{
			name: fmt.Sprintf("R%02d", i), metric: metrics[i%3], column: "mean", hold: holds[level%len(holds)],
			keep: []time.Duration{0, time.Minute, 0}[level%3],
		}
		r.above = mean[r.hold]
		if i%2 == 1 {
			r.column, r.above = "most", most[r.hold]
		}
		r.above += float64(level)*0.0001 + 0.0000271
		all = append(all, r)
	}
	return all
}

// ruleSteps are the rules as steps of our pipeline.
func ruleSteps() string {
	var b strings.Builder
	for _, r := range rules() {
		fmt.Fprintf(&b, "  - alert: {name: %s, when: name == %q and %s > %.7f, for: %s, keep_firing_for: %s}\n", r.name, r.metric, r.column, r.above, r.hold, r.keep)
	}
	return b.String()
}

// ruleArgument is what the jobs of the peers read.
func ruleArgument() string {
	var all []string
	for _, r := range rules() {
		all = append(all, fmt.Sprintf("%s,%s,%s,%.7f,%d,%d", r.name, r.metric, r.column, r.above, r.hold.Milliseconds(), r.keep.Milliseconds()))
	}
	return strings.Join(all, ";")
}

// transitionsSQL is what must come of the rules. An island is windows that follow each other, in all of which the condition holds. An
// alert that fires goes on over a gap that is not longer than keep_firing_for, so islands form chains: of a chain the first island that
// is long enough fires, those before it are pending for their time, and those behind it change nothing.
func transitionsSQL() string {
	var values []string
	for _, r := range rules() {
		values = append(values, fmt.Sprintf("('%s', '%s', '%s', %.7f, %d, %d)", r.name, r.metric, r.column, r.above, r.hold.Milliseconds(), r.keep.Milliseconds()))
	}
	return strings.NewReplacer("RULES", strings.Join(values, ", "), "SIZE", milliseconds(ruleWindow)).Replace(`SELECT * FROM (
		WITH rules(rule, name, col, above, hold, keep) AS (VALUES RULES),
		judged AS (SELECT time // SIZE * SIZE + SIZE AS ends, host, name, avg(value) AS mean, max(value) AS most FROM events GROUP BY ALL),
		held AS (SELECT rule, hold, greatest(keep, SIZE) AS gap, host, name, ends FROM judged JOIN rules USING (name)
			WHERE if(col = 'mean', mean, most) > above),
		islands AS (SELECT rule, hold, gap, host, name, min(ends) AS since, max(ends) AS until FROM (
			SELECT *, ends - SIZE * row_number() OVER (PARTITION BY rule, host, name ORDER BY ends) AS island FROM held) GROUP BY rule, hold, gap, host, name, island),
		linked AS (SELECT *, sum(if(since <= before + gap, 0, 1)) OVER (PARTITION BY rule, host, name ORDER BY since) AS chain FROM (
			SELECT *, lag(until) OVER (PARTITION BY rule, host, name ORDER BY since) AS before FROM islands)),
		fired AS (SELECT *, bool_or(until - since >= hold) OVER (PARTITION BY rule, host, name, chain ORDER BY since) AS fires,
			coalesce(bool_or(until - since >= hold) OVER (PARTITION BY rule, host, name, chain ORDER BY since
				ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false) AS goes_on FROM linked)
		SELECT since AS time, rule, host, name, 'pending' AS state FROM fired WHERE NOT goes_on AND hold > 0
		UNION ALL SELECT until + SIZE, rule, host, name, 'inactive' FROM fired WHERE NOT fires
		UNION ALL SELECT since + hold, rule, host, name, 'firing' FROM fired WHERE fires AND NOT goes_on
		UNION ALL SELECT max(until) + any_value(gap), rule, host, name, 'resolved' FROM fired WHERE fires GROUP BY rule, host, name, chain)`)
}
