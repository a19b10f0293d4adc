package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// workload is one piece of work that every engine does. A new one is an entry here, its pipeline in pipelines/ and its job in
// java/ and python/.
type workload struct {
	name, about string
	ids         bool // each event has an id, by which it is keyed, and one in twenty is sent twice
	// Of the generator: the scenario bench with 20,000 hosts and 10,000 events a second unless it says otherwise.
	scenario         string
	hosts, perSecond int
	nilKeys          bool // producers do not key
	rekeys           bool // it groups by something else than producers key by
	latency          bool // its latency can be measured
	// Rows have these columns, in DuckDB's words. Those of key say which row replaces an earlier one; without a key every row
	// counts, and as often as it comes.
	columns, key []string
	// subject is the column that tells rows about the closing events from others.
	subject string
	// estimated is the column that holds a number of different values, with the standard error distinctError. Ours is exact up to
	// distinctExact.
	estimated string
	expected  string // SQL over events
	// ours reads the rows that Tidewatch has written, from {raw}; peers write the columns as they are.
	ours   string
	output string // the step of the pipeline that is the output
	// alerts are the output: changes of their state, which Tidewatch keeps in PostgreSQL. The watermark stays behind even the latest
	// events, since what is judged is not revised: else it would depend on when an engine looks.
	alerts bool
	kills  bool // the engine is killed again and again
	redis  bool // Tidewatch keeps the output in Redis; else it goes to a topic, in transactions
	stages []bed.Want
	heapMB int // of Java engines
}

// windowRows are the rows of W2 and W4: when a late event comes, a window's row comes again.
var (
	windowColumns  = []string{"start BIGINT", "host VARCHAR", "samples BIGINT", "total DOUBLE", "least DOUBLE", "most DOUBLE"}
	windowKey      = []string{"start", "host"}
	windowExpected = `SELECT time // 10000 * 10000 AS start, host, count(*) AS samples, sum(value) AS total, min(value) AS least, max(value) AS most
		FROM events GROUP BY ALL`
	windowOurs = `SELECT epoch_ms(time) AS start, host, samples, total, least, most FROM read_json('{raw}', format = 'newline_delimited',
		columns = {{time: 'TIMESTAMP', host: 'VARCHAR', samples: 'BIGINT', total: 'DOUBLE', least: 'DOUBLE', most: 'DOUBLE'}})`
)

// Numbers of different values: ours keep the 1,024 smallest hashes, the sketches of the peers have as many registers.
const (
	distinctExact = 1024
	distinctError = 1.0 / 32
	// A count may be so many standard errors off; all counts together, at root mean square, so many.
	distinctRow = 5
	distinctAll = 1.5
)

// archiveOf begins the name of the pipeline that archives a topic; the topic follows.
const archiveOf = "archive."

// workloads is the table of all there are.
func workloads() []workload {
	return []workload{
		{
			name: "W1", about: "filter and project: one event in ten, four fields of it",
			columns: []string{"time BIGINT", "host VARCHAR", "region VARCHAR", "value DOUBLE"}, subject: "host",
			expected: `SELECT time, host, attributes.region AS region, value FROM events WHERE value >= 900`,
			ours: `SELECT epoch_ms(time) AS time, host, region, value FROM read_json('{raw}', format = 'newline_delimited',
				columns = {{time: 'TIMESTAMP', host: 'VARCHAR', region: 'VARCHAR', value: 'DOUBLE'}})`,
			output: "high", stages: []bed.Want{{Stage: "main", Tasks: partitions}}, heapMB: 2048,
		},
		{
			name: "W2", about: "count, sum, min and max of 20,000 hosts in windows of ten seconds; producers key by host",
			columns: windowColumns, key: windowKey, subject: "host", expected: windowExpected, ours: windowOurs, latency: true,
			output: "rollup", redis: true, stages: []bed.Want{{Stage: "main", Tasks: partitions}}, heapMB: 2048,
		},
		{
			name: "W3", about: "different hosts of each of 50 tenants in five minutes, every minute; producers key by host", rekeys: true,
			columns: []string{"start BIGINT", "tenant VARCHAR", "hosts BIGINT"}, key: []string{"start", "tenant"}, subject: "tenant", estimated: "hosts",
			expected: `SELECT (time // 60000 - hop) * 60000 AS start, tenant, count(DISTINCT host) AS hosts FROM events, range(5) hops(hop) GROUP BY ALL`,
			ours: `SELECT epoch_ms(time) AS start, tenant, hosts FROM read_json('{raw}', format = 'newline_delimited',
				columns = {{time: 'TIMESTAMP', tenant: 'VARCHAR', hosts: 'BIGINT'}})`,
			output: "sources", redis: true, stages: []bed.Want{{Stage: "fold", Tasks: partitions}, {Stage: "merge", Tasks: 4}}, heapMB: 2048,
		},
		{
			name: "W4", about: "the same as W2, but the producers do not key", nilKeys: true, rekeys: true,
			columns: windowColumns, key: windowKey, subject: "host", expected: windowExpected, ours: windowOurs, latency: true,
			output: "rollup", redis: true, stages: []bed.Want{{Stage: "fold", Tasks: partitions}, {Stage: "merge", Tasks: 4}}, heapMB: 2048,
		},
		{
			name: "W5", about: "the first of equal ids of 16 bytes in ten minutes; one event in twenty is sent twice", ids: true,
			columns: []string{"time BIGINT", "host VARCHAR", "id VARCHAR"}, subject: "host",
			expected: `SELECT DISTINCT time, host, attributes.id AS id FROM events`,
			ours: `SELECT epoch_ms(time) AS time, host, id FROM read_json('{raw}', format = 'newline_delimited',
				columns = {{time: 'TIMESTAMP', host: 'VARCHAR', id: 'VARCHAR'}})`,
			output: "first", stages: []bed.Want{{Stage: "main", Tasks: partitions}}, heapMB: 6144,
		},
		{
			name: "W6", about: "100 threshold rules on 100,000 series (three metrics of each host), judged every 30 seconds; producers key by host",
			scenario: "hosts", hosts: 33_334, perSecond: 20_000, alerts: true,
			columns: []string{"time BIGINT", "rule VARCHAR", "host VARCHAR", "name VARCHAR", "state VARCHAR"}, subject: "host",
			expected: transitionsSQL(), stages: []bed.Want{{Stage: "main", Tasks: partitions}}, heapMB: 2048,
		},
		{
			name: "W8", about: "the same as W2, killed every -kill-every; ours also archives every event to Parquet", kills: true,
			columns: windowColumns, key: windowKey, subject: "host", expected: windowExpected, ours: windowOurs,
			output: "rollup", redis: true, heapMB: 2048,
			stages: []bed.Want{{Stage: "main", Tasks: partitions}, {Pipeline: archiveOf, Stage: "archive", Tasks: partitions}},
		},
	}
}

// eventsSQL reads the file of the generator. The closing events only drive the watermark, and no row is about them.
const eventsSQL = `SELECT * FROM read_json('{events}', format = 'newline_delimited', columns = {{time: 'BIGINT', name: 'VARCHAR', tenant: 'VARCHAR', host: 'VARCHAR', value: 'DOUBLE',
	attributes: 'STRUCT(region VARCHAR, id VARCHAR)'}}) WHERE host NOT LIKE '` + closingHost + `%'`

// expectedSQL writes what must come out to a file, and counts it.
func (w *workload) expectedSQL() string {
	return "COPY (WITH events AS (" + eventsSQL + ") " + w.expected + ") TO '{expected}' (FORMAT parquet); SELECT count(*) AS n FROM '{expected}'"
}

// rowsSQL reads the rows of an engine in the order in which they were written.
func (w *workload) rowsSQL(ours bool) string {
	if ours && w.ours != "" {
		return w.ours
	}
	var columns []string
	for _, c := range w.columns {
		name, kind, _ := strings.Cut(c, " ")
		columns = append(columns, name+": '"+kind+"'")
	}
	return "SELECT * FROM read_json('{raw}', format = 'newline_delimited', columns = {{" + strings.Join(columns, ", ") + "}})"
}

// comparisonSQL counts the rows that were expected, those that came, and the equal ones. Sums may differ in the last digits,
// since each engine adds in another order, and estimates by some standard errors; error is how far they are off at root mean square.
func (w *workload) comparisonSQL(ours bool) string {
	rows := "raw AS (SELECT *, row_number() OVER () AS _at FROM (" + w.rowsSQL(ours) + ") WHERE " + w.subject + " NOT LIKE '" + closingHost + "%')"
	if len(w.key) == 0 {
		var all, same []string
		for _, c := range w.columns {
			name, _, _ := strings.Cut(c, " ")
			all, same = append(all, name), append(same, fmt.Sprintf("e.%[1]s IS NOT DISTINCT FROM g.%[1]s", name))
		}
		list := strings.Join(all, ", ")
		return fmt.Sprintf(`WITH %s, got AS (SELECT %s, count(*) AS _n FROM raw GROUP BY ALL), want AS (SELECT %s, count(*) AS _n FROM '{expected}' GROUP BY ALL)
			SELECT coalesce(sum(e._n), 0)::BIGINT AS expected, coalesce(sum(g._n), 0)::BIGINT AS came, coalesce(sum(least(coalesce(e._n, 0), coalesce(g._n, 0))), 0)::BIGINT AS equal, 0::DOUBLE AS error
			FROM want e FULL JOIN got g ON %s`, rows, list, list, strings.Join(same, " AND "))
	}
	var on, same []string
	off := "0::DOUBLE"
	for _, c := range w.columns {
		switch name, kind, _ := strings.Cut(c, " "); {
		case slices.Contains(w.key, name):
			on = append(on, fmt.Sprintf("e.%[1]s = g.%[1]s", name))
		case name == w.estimated:
			bar := fmt.Sprintf("abs(e.%[1]s - g.%[1]s) <= %[2]v * e.%[1]s", name, distinctRow*distinctError)
			if ours {
				bar = fmt.Sprintf("CASE WHEN e.%[1]s <= %[2]d THEN e.%[1]s = g.%[1]s ELSE %[3]s END", name, distinctExact, bar)
			}
			same = append(same, bar)
			off = fmt.Sprintf("coalesce(sqrt(avg(pow(g.%[1]s / e.%[1]s - 1, 2)) FILTER (e.%[1]s > %[2]d)), 0)", name, distinctExact)
		case kind == "DOUBLE":
			same = append(same, fmt.Sprintf("abs(e.%[1]s - g.%[1]s) <= 1e-9 * abs(e.%[1]s)", name))
		default:
			same = append(same, fmt.Sprintf("e.%[1]s = g.%[1]s", name))
		}
	}
	return fmt.Sprintf(`WITH %s, got AS (SELECT *, 1 AS _n FROM raw QUALIFY row_number() OVER (PARTITION BY %s ORDER BY _at DESC) = 1),
		want AS (SELECT *, 1 AS _n FROM '{expected}')
		SELECT count(e._n) AS expected, count(g._n) AS came, count(*) FILTER (%s) AS equal, %s AS error FROM want e FULL JOIN got g ON %s`,
		rows, strings.Join(w.key, ", "), strings.Join(same, " AND "), off, strings.Join(on, " AND "))
}
