package postgres

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// base is an event time with nanoseconds that timestamptz could not keep.
var base = time.Date(2026, 11, 23, 5, 0, 0, 123456789, time.UTC)

// change describes a transition of a test: the alert of rule and host that began at start goes to state at start+at.
type change struct {
	rule, host string
	start, at  time.Duration
	from, to   alerts.State
	revision   int
	version    string // of the pipeline; "" is the first
}

func (c change) alertID() string {
	return alerts.EpisodeID(c.fingerprint(), stream.TimeOf(base.Add(c.start)))
}

func (c change) fingerprint() string {
	return alerts.Fingerprint(c.rule, map[string]string{"host": c.host})
}

// transition builds the transition with everything a reader shows.
func (c change) transition() alerts.Transition {
	value := 0.1 + float64(c.at)
	version := cmp.Or(c.version, "1")
	at := base.Add(c.at)
	t := alerts.Transition{
		Fingerprint: c.fingerprint(), From: c.from, To: c.to, At: at, Revision: c.revision, Holds: c.to == alerts.Firing,
		Value: &value, Window: alerts.Window{Start: at.Add(-time.Minute), End: at},
		Evidence: []alerts.Evidence{{Topic: "metrics", Partition: 1, Offset: 7, Time: at}},
		Alert: alerts.Alert{
			ID: c.alertID(), Name: c.rule, Severity: alerts.Warning, State: c.to, Pipeline: "host-cpu", Version: version,
			Labels:  map[string]string{"host": c.host, "text": "a\"ü\x00\u2028<"},
			Summary: "100 % \x00 busy", StartedAt: base.Add(c.start), UpdatedAt: at, Value: &value,
		},
	}
	t.ID = fmt.Sprintf("%s/%s/%s/%s/%d", c.rule, t.Fingerprint, at.Format(time.RFC3339Nano), c.to, c.revision)
	return t
}

func (c change) decision(t testing.TB) stream.Decision {
	t.Helper()
	tr := c.transition()
	d, err := tr.Decision()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
