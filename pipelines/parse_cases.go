package pipelines

import "github.com/goccy/go-yaml/ast"

// maxCaseEvents bounds the events of one entry of a case.
const maxCaseEvents = 1_000_000

func (r *reader) testCase(n ast.Node) Case {
	m := r.mapping(n, "the case")
	c := Case{At: m.at, Until: r.duration(m.get("until"), "`until`")}
	if v := m.need("about", "what it shows"); v != nil {
		c.About = r.filled(v, "`about`")
	}
	if v := m.need("given", "the events"); v != nil {
		events := r.list(v, "`given`")
		if seq, ok := v.(*ast.SequenceNode); ok && len(seq.Values) == 0 {
			r.report(posOf(v), 1, "`given` is empty: without an event nothing happens")
		}
		for _, g := range events {
			c.Given = append(c.Given, r.given(g))
		}
	}
	if v := m.need("expect", "what has to come out"); v != nil {
		c.Expect = r.expect(v)
	}
	m.done()
	return c
}

// given reads an event: words of the language first, all others are its fields.
func (r *reader) given(n ast.Node) Given {
	m := r.mapping(n, "the event")
	g := Given{At: m.at, Topic: r.optional(m.get("topic"), "`topic`")}
	if v := m.need("at", "its time after the beginning, for example 0s"); v != nil {
		g.Time = r.duration(v, "`at`")
	}
	g.Every = r.duration(m.get("every"), "`every`")
	g.Times = r.number(m.get("times"), "`times`", 1, maxCaseEvents)
	g.Arrives = r.duration(m.get("arrives"), "`arrives`")
	g.Part = r.number(m.get("partition"), "`partition`", 0, 63)
	g.Raw = r.text(m.get("raw"), "`raw`", false)
	g.Fields = r.fields(m)
	m.done()
	switch {
	case g.Times.IsSet() && g.Times.Value > 1 && !g.Every.IsSet():
		r.report(g.Times.At, 1, "`times` needs `every`: the distance between the events")
	case g.Every.IsSet() && !m.taken["times"]:
		r.report(g.Every.At, 1, "`every` needs `times`: the number of events")
	case g.Raw.IsSet() && len(g.Fields) > 0:
		r.report(g.Raw.At, g.Raw.width(), "an event is `raw` or has fields, not both")
	}
	return g
}

// fields reads everything that nobody has asked for.
func (r *reader) fields(m *mapping) (fields []Value) {
	for _, e := range m.rest() {
		m.taken[keyOf(e)] = true
		name := Text{Value: keyOf(e), At: posOf(e.Key)}
		fields = append(fields, Value{Name: name, JSON: r.value(e.Value), At: posOf(e.Value)})
	}
	return fields
}

func (r *reader) expect(n ast.Node) Expect {
	m := r.mapping(n, "`expect`")
	e := Expect{At: m.at, NoAlerts: r.flag(m.get("no_alerts"), "`no_alerts`")}
	for _, v := range r.list(m.get("alerts"), "`alerts`") {
		e.Alerts = append(e.Alerts, r.expectedAlert(v))
	}
	for _, v := range r.list(m.get("rollups"), "`rollups`") {
		e.Rollups = append(e.Rollups, r.expectedRow(v, "the rollup"))
	}
	for _, v := range r.list(m.get("events"), "`events`") {
		e.Events = append(e.Events, r.expectedRow(v, "the event"))
	}
	if v := m.get("ledger"); v != nil {
		e.Ledger = r.expectedLedger(v)
	}
	m.done()
	nothing := len(e.Alerts)+len(e.Rollups)+len(e.Events)+len(e.Ledger) == 0 && !e.NoAlerts.Value
	if nothing && !m.wrong && len(m.entries) == len(m.taken) {
		r.report(m.at, 1, "the case expects nothing, so it cannot fail: use `alerts`, `no_alerts: true`, `rollups`, `events` or `ledger`")
	}
	if e.NoAlerts.Value && len(e.Alerts) > 0 {
		r.report(e.NoAlerts.At, 4, "`no_alerts` and `alerts` exclude each other")
	}
	return e
}

func (r *reader) expectedAlert(n ast.Node) ExpectedAlert {
	m := r.mapping(n, "the alert")
	a := ExpectedAlert{At: m.at}
	if v := m.need("name", "the name of the rule"); v != nil {
		a.Name = r.filled(v, "`name`")
	}
	if v := m.need("state", "pending, firing, resolved or inactive"); v != nil {
		a.State = r.filled(v, "`state`")
	}
	if v := m.need("at", "the end of the window that was judged"); v != nil {
		a.Time = r.duration(v, "`at`")
	}
	a.Severity = r.text(m.get("severity"), "`severity`", false)
	a.Summary = r.text(m.get("summary"), "`summary`", false)
	a.Revised = r.flag(m.get("revised"), "`revised`")
	if v := m.get("labels"); v != nil {
		a.Labels = r.fields(r.mapping(v, "`labels`"))
	}
	a.Labels = append(a.Labels, r.fields(m)...)
	m.done()
	return a
}

func (r *reader) expectedRow(n ast.Node, what string) ExpectedRow {
	m := r.mapping(n, what)
	row := ExpectedRow{At: m.at}
	if v := m.need("of", "the step"); v != nil {
		row.Of = r.filled(v, "`of`")
	}
	if v := m.need("at", "the end of the window, or the time of the event"); v != nil {
		row.Time = r.duration(v, "`at`")
	}
	row.Fields = r.fields(m)
	m.done()
	if len(row.Fields) == 0 && !m.wrong {
		r.report(m.at, 1, "%s says nothing about its columns", what)
	}
	return row
}

func (r *reader) expectedLedger(n ast.Node) (counts []ExpectedCount) {
	m := r.mapping(n, "`ledger`")
	for _, e := range m.entries {
		name := Text{Value: keyOf(e), At: posOf(e.Key)}
		counts = append(counts, ExpectedCount{name, r.number(e.Value, "`"+name.Value+"`", 0, 1<<53)})
	}
	return counts
}
