package postgres

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
)

// decideSQL follows the package alerts, "From transitions to rows": the history takes an id once; the current row and the
// outbox follow from what the history took. Every insertion is in the order of its key, so that two transactions never wait
// for each other. It stands behind a query called won, whose column i lists the claims whose decisions count.
//
// IS TRUE keeps the planner from making a join of it. It takes the arrays for ten rows and would compare each decision with
// each, which thousands of them make many times as dear; so it looks ids up in a hash table.
const decideSQL = `, decided AS MATERIALIZED (
    SELECT d.* FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::int[], $6::text[], $7::bool[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[])
        AS d(i, id, alert, at, revision, body, notifies, name, pipeline, severity, state, started_at, summary, labels)
    JOIN won USING (i)
), entered AS (
    INSERT INTO tidewatch_transitions (id, alert, at, revision, body, created_at)
    SELECT id, alert, at, revision, body::json, now() FROM decided ORDER BY id
    ON CONFLICT (id) DO NOTHING RETURNING id
), fresh AS MATERIALIZED (
    SELECT DISTINCT ON (id) d.* FROM decided d WHERE (id IN (SELECT id FROM entered)) IS TRUE ORDER BY id
), newest AS (
    INSERT INTO tidewatch_alerts AS a
        (id, transition, at, revision, name, pipeline, severity, state, started_at, summary, labels)
    SELECT DISTINCT ON (alert) alert, id, at, revision, name, pipeline, severity, state, started_at, summary, labels::jsonb
    FROM fresh ORDER BY alert, at DESC, revision DESC
    ON CONFLICT (id) DO UPDATE SET transition = EXCLUDED.transition, at = EXCLUDED.at, revision = EXCLUDED.revision,
        name = EXCLUDED.name, pipeline = EXCLUDED.pipeline, severity = EXCLUDED.severity, state = EXCLUDED.state,
        started_at = EXCLUDED.started_at, summary = EXCLUDED.summary, labels = EXCLUDED.labels
    WHERE (EXCLUDED.at, EXCLUDED.revision) > (a.at, a.revision)
), told AS (
    INSERT INTO tidewatch_outbox (id, created_at) SELECT id, now() FROM fresh WHERE notifies ORDER BY at, id
    ON CONFLICT (id) DO NOTHING
)
SELECT i::int FROM won`

// behind moves the arguments of decideSQL behind the first n.
func behind(n int) string {
	return argument.ReplaceAllStringFunc(decideSQL, func(place string) string {
		i, _ := strconv.Atoi(place[1:]) // digits by the expression
		return fmt.Sprint("$", n+i)
	})
}

var (
	argument          = regexp.MustCompile(`\$[0-9]+`)
	claimAndDecideSQL = claimSQL + behind(5)
	// decideOnlySQL is for decisions that need no claim.
	decideOnlySQL = "WITH won AS (SELECT 1::bigint AS i)" + decideSQL
)

// decisions are transitions as arrays.
type decisions struct {
	claim                                          []int // ordinal of the claim that decided it
	id, alert, body                                []string
	at, startedAt                                  []int64
	revision                                       []int
	notifies                                       []bool
	name, pipeline, severity, state, summary, tags []string
}

func (d *decisions) args() []any {
	return []any{
		d.claim, d.id, d.alert, d.at, d.revision, d.body, d.notifies, d.name,
		d.pipeline, d.severity, d.state, d.startedAt, d.summary, d.tags,
	}
}

func (d *decisions) add(claim int, all []stream.Decision) error {
	for i := range all {
		t, err := alerts.Decode(all[i].Body)
		if err != nil {
			return stream.Mark(stream.Fatal, fmt.Errorf("read decision %s: %w", all[i].ID, err))
		}
		if t.ID != all[i].ID {
			return stream.Mark(stream.Fatal, fmt.Errorf("read decision %s: its body has the id %s", all[i].ID, t.ID))
		}
		if err := d.transition(claim, &t, all[i].Body); err != nil {
			return err
		}
	}
	return nil
}

func (d *decisions) transition(claim int, t *alerts.Transition, body []byte) error {
	tags, err := searchable(t.Alert.Labels)
	if err != nil {
		return fmt.Errorf("encode labels of %s: %w", t.ID, err)
	}
	a := &t.Alert
	d.claim, d.id, d.alert, d.body = append(d.claim, claim), append(d.id, t.ID), append(d.alert, a.ID), append(d.body, string(body))
	d.at, d.startedAt = append(d.at, t.At.UnixNano()), append(d.startedAt, a.StartedAt.UnixNano())
	d.revision, d.notifies = append(d.revision, t.Revision), append(d.notifies, t.Notifies())
	d.name, d.pipeline = append(d.name, a.Name), append(d.pipeline, a.Pipeline)
	d.severity, d.state = append(d.severity, string(a.Severity)), append(d.state, string(a.State))
	d.summary, d.tags = append(d.summary, withoutNUL(a.Summary)), append(d.tags, tags)
	return nil
}

// searchable is the JSON of labels for a jsonb column.
func searchable(labels map[string]string) (string, error) {
	m := make(map[string]string, len(labels))
	for name, value := range labels {
		m[withoutNUL(name)] = withoutNUL(value)
	}
	b, err := json.Marshal(m)
	return string(b), err
}

// withoutNUL makes a text that Postgres can hold of any string.
func withoutNUL(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
