package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// spans are pieces of event time, each from behind the first to the second: the ends of windows about which more than the log
// decides.
type spans [][2]int64

func (s spans) hold(end int64) bool {
	return slices.ContainsFunc(s, func(x [2]int64) bool { return x[0] < end && end <= x[1] })
}

// touches reports whether a change of an alert follows from a window of the spans: from its own, or from one before it for which
// the condition held all the time since.
func (s spans) touches(t *truth, host string, at int64) bool {
	if len(s) == 0 {
		return false
	}
	for end := at; ; end -= windowSize {
		if s.hold(end) {
			return true
		}
		if _, held := slices.BinarySearch(t.held[host], end-windowSize); !held && !s.hold(end-windowSize) {
			return false
		}
	}
}

// undecided lists what more than the log decides, by pipeline. An idle tick closes windows at a time of its own; it is claimed, so
// the audit knows it. Partitions that are new may bring events of windows that were decided without them, and when they count is
// decided by who looks first. Of a key that moves, each partition judges what it has. A new version of a pipeline goes on with the alerts
// of the snapshot that it begins with, and does not know what became of them between that and the cut until its first window is judged.
func (r *run) undecided(truths map[string]*truth, history []*version) map[string]spans {
	open := map[string]spans{}
	for _, h := range history {
		pipeline, stage, partition := h.place()
		k := h.said.Control
		if k == nil || k.Kind != "tick" || stage != "fold" && stage != "main" {
			continue
		}
		mark := int64(math.MinInt64) // by records
		for _, l := range r.records(pipeline) {
			if strconv.Itoa(int(l.partition)) == partition && l.offset < k.At.Offset && l.front != math.MinInt64 {
				mark = l.front - outOfOrder
			}
		}
		open[pipeline] = append(open[pipeline], [2]int64{mark, k.Mark / 1_000_000})
	}
	if cut := cutOf(history); cut > 0 {
		open["plain"] = append(open["plain"], [2]int64{cut - 1, cut + windowSize})
	}
	for c := range truths["keyed"].split {
		open["keyed"] = append(open["keyed"], [2]int64{c.start, c.start + windowSize})
	}
	lowest := int64(math.MaxInt64)
	for _, l := range r.log.plain {
		if l.partition >= r.load.partitions && l.valid && !l.behind {
			lowest = min(lowest, l.start()+windowSize)
		}
	}
	if lowest != math.MaxInt64 {
		open["plain"] = append(open["plain"], [2]int64{lowest - 1, math.MaxInt64})
	}
	return open
}

// cutOf is the event time from which another version counts, 0 if there is none.
func cutOf(history []*version) int64 {
	for _, h := range history {
		if k := h.said.Control; k != nil && k.Kind == "until" {
			return k.Cut / 1_000_000
		}
	}
	return 0
}

func (r *run) records(pipeline string) []*logged {
	if pipeline == "keyed" {
		return r.log.keyed
	}
	return r.log.plain
}

// truths is what must come out of each pipeline.
func (r *run) truths(history []*version) map[string]*truth {
	return map[string]*truth{
		"plain": judge(r.log.plain, rules{most: r.most, cut: cutOf(history)}),
		"keyed": judge(r.log.keyed, rules{keyed: true}),
	}
}

// decisions compares the changes of alerts that the log decides, and looks whether exactly those that notify are in the outbox.
func (r *run) decisions(ctx context.Context, v *verdict, truths map[string]*truth, history []*version) error {
	conn, err := pgx.Connect(ctx, r.lab.Postgres.DSN(r.name))
	if err != nil {
		return fmt.Errorf("read transitions: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT t.body->'alert'->>'pipeline', t.body->'alert'->'labels'->>'host', t.body->>'to',
		(extract(epoch FROM (t.body->>'at')::timestamptz) * 1000)::bigint, o.id IS NOT NULL
		FROM tidewatch.tidewatch_transitions t LEFT JOIN tidewatch.tidewatch_outbox o USING (id) WHERE t.body->>'from' <> t.body->>'to'`)
	if err != nil {
		return fmt.Errorf("read transitions: %w", err)
	}
	open := r.undecided(truths, history)
	got, want := map[string]int{}, map[string]int{}
	outbox := map[string]bool{}
	var pipeline, host, state string
	var at int64
	var notifies bool
	_, err = pgx.ForEachRow(rows, []any{&pipeline, &host, &state, &at, &notifies}, func() error {
		key := fmt.Sprint(pipeline, " ", host, " ", state, " ", at)
		if !open[pipeline].touches(truths[pipeline], host, at) {
			got[key]++
		}
		if outbox[key] = notifies; notifies != (state == "firing" || state == "resolved") {
			v.say(&v.Wrong, "outbox: %s has a notification: %t", key, notifies)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read transitions: %w", err)
	}
	for name, t := range truths {
		for tr := range maps.Keys(t.transitions) {
			if !open[name].touches(t, tr.host, tr.at) {
				want[fmt.Sprint(name, " ", tr.host, " ", tr.state, " ", tr.at)] = 1
			}
		}
	}
	if len(want) == 0 {
		return errors.New("the log decides no alert of this run: nothing could be missing")
	}
	if equal(v, "transitions", want, got); len(open) > 0 && !v.good() {
		v.Examples = append(v.Examples, fmt.Sprintf("the log does not decide: %v", open))
	}
	return nil
}
