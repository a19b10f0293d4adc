package main

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// episode is an alert that has fired in a replay. Alerts that were pending only are none: nobody was told of them.
type episode struct {
	ID          string            `json:"id"`
	FiredAt     time.Time         `json:"fired_at"`
	ResolvedAt  *time.Time        `json:"resolved_at"` // null if it fires at the end of the events
	Severity    alerts.Severity   `json:"severity"`
	Labels      map[string]string `json:"labels"`
	Summary     string            `json:"summary"`
	name        string
	fingerprint string
	judged      time.Time // start of the first window in which the condition held
}

// episodes gathers alerts from transitions, which come in the order of each alert.
type episodes struct {
	list []*episode
	open map[string]*episode // that have not ended, by id
}

func (e *episodes) decide(d stream.Decision) error {
	t, err := alerts.Decode(d.Body)
	if err != nil {
		return err
	}
	x := e.open[t.Alert.ID]
	switch {
	case t.IsRevision():
		return nil
	case t.To == alerts.Firing:
		x = &episode{
			ID: t.Alert.ID, FiredAt: t.At, Severity: t.Alert.Severity, name: t.Alert.Name, fingerprint: t.Fingerprint,
			judged: t.Alert.StartedAt.Add(t.Window.Start.Sub(t.Window.End)),
		}
		if e.open == nil {
			e.open = map[string]*episode{}
		}
		e.list, e.open[x.ID] = append(e.list, x), x
	case x != nil && t.To == alerts.Resolved:
		x.ResolvedAt = &t.At
		delete(e.open, x.ID)
	default:
		return nil
	}
	x.Labels, x.Summary = t.Alert.Labels, t.Alert.Summary
	return nil
}

// end is when the episode ends, later than everything if it does not.
func (x *episode) end() time.Time {
	if x.ResolvedAt == nil {
		return time.Unix(0, math.MaxInt64)
	}
	return *x.ResolvedAt
}

// Verdicts on an alert.
const (
	onlyBefore = "only before"
	onlyAfter  = "only after"
	unchanged  = "same"
	changed    = "changed"
)

// alertDiff is an alert of either side, or of both.
type alertDiff struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Fingerprint string            `json:"fingerprint"`
	Before      *episode          `json:"before"`
	After       *episode          `json:"after"`
	Verdict     string            `json:"verdict"`
	Changes     []string          `json:"changes,omitempty"`
}

// diffAlerts compares the alerts of two replays, in the order of their beginnings.
func diffAlerts(before, after []*episode) []*alertDiff {
	partner := map[*episode]*episode{}
	groups := byFingerprint(after)
	for fingerprint, list := range byFingerprint(before) { // the order does not matter: each is matched alone
		match(list, groups[fingerprint], partner)
	}
	var all []*alertDiff
	matched := map[*episode]bool{}
	for _, x := range before {
		all = append(all, newAlertDiff(x, partner[x]))
		matched[partner[x]] = true
	}
	for _, y := range after {
		if !matched[y] {
			all = append(all, newAlertDiff(nil, y))
		}
	}
	slices.SortStableFunc(all, func(a, b *alertDiff) int {
		return cmp.Or(a.first().Compare(b.first()), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return all
}

func byFingerprint(all []*episode) map[string][]*episode {
	groups := map[string][]*episode{}
	for _, x := range all {
		groups[x.fingerprint] = append(groups[x.fingerprint], x)
	}
	for _, list := range groups {
		slices.SortFunc(list, func(a, b *episode) int { return a.FiredAt.Compare(b.FiredAt) })
	}
	return groups
}

// match pairs the episodes of one fingerprint whose judged events overlap. Where several do, those pair first that fire at
// the nearest times. Episodes of a side follow one another, so few overlap with one of the other side.
func match(before, after []*episode, partner map[*episode]*episode) {
	type candidate struct {
		x, y *episode
		off  time.Duration
	}
	var candidates []candidate
	first := 0
	for _, x := range before {
		for first < len(after) && !after[first].end().After(x.judged) {
			first++
		}
		for _, y := range after[first:] {
			if !y.judged.Before(x.end()) {
				break
			}
			candidates = append(candidates, candidate{x, y, y.FiredAt.Sub(x.FiredAt).Abs()})
		}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.off, b.off) })
	taken := map[*episode]bool{}
	for _, c := range candidates {
		if partner[c.x] == nil && !taken[c.y] {
			partner[c.x], taken[c.y] = c.y, true
		}
	}
}

func newAlertDiff(before, after *episode) *alertDiff {
	d := &alertDiff{Before: before, After: after}
	of := before
	switch {
	case after == nil:
		d.Verdict = onlyBefore
	case before == nil:
		d.Verdict, of = onlyAfter, after
	default:
		d.Verdict, d.Changes = unchanged, changes(before, after)
		if len(d.Changes) > 0 {
			d.Verdict = changed
		}
	}
	d.Name, d.Labels, d.Fingerprint = of.name, of.Labels, of.fingerprint
	return d
}

// first is when the alert fires on the side that has it, on the earlier one if both do.
func (d *alertDiff) first() time.Time {
	switch {
	case d.Before == nil:
		return d.After.FiredAt
	case d.After == nil || d.Before.FiredAt.Before(d.After.FiredAt):
		return d.Before.FiredAt
	}
	return d.After.FiredAt
}

// changes says what is not the same. A text that follows from other times is no change of its own.
func changes(before, after *episode) (all []string) {
	if text := moved(before.FiredAt, after.FiredAt); text != "" {
		all = append(all, "starts "+text)
	}
	switch {
	case before.ResolvedAt == nil && after.ResolvedAt == nil:
	case before.ResolvedAt == nil:
		all = append(all, "is resolved")
	case after.ResolvedAt == nil:
		all = append(all, "is not resolved")
	default:
		if text := moved(*before.ResolvedAt, *after.ResolvedAt); text != "" {
			all = append(all, "ends "+text)
		}
	}
	if before.Severity != after.Severity {
		all = append(all, string(after.Severity)+" instead of "+string(before.Severity))
	}
	if !maps.Equal(before.Labels, after.Labels) {
		all = append(all, "other labels")
	}
	if len(all) == 0 && before.Summary != after.Summary {
		all = append(all, "other summary")
	}
	return all
}

func moved(before, after time.Time) string {
	switch d := after.Sub(before); {
	case d > 0:
		return pipelines.FormatDuration(d) + " later"
	case d < 0:
		return pipelines.FormatDuration(-d) + " earlier"
	}
	return ""
}
