package schemas

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestFindsDefinitions(t *testing.T) {
	c := Builtin()
	for topic, want := range map[string]string{"metrics": "metric v1", "security": "security v1"} {
		if d, err := c.ForTopic(topic); err != nil || d.String() != want {
			t.Errorf("topic %s: got %v, %v", topic, d, err)
		}
	}
	if d, err := c.Lookup("metric", 1); err != nil || d.String() != "metric v1" {
		t.Errorf("got %v, %v", d, err)
	}
	for _, e := range []struct{ got, want string }{
		{errorOf(c.Lookup("metrik", 0)), "find schema: there is no schema `metrik`; did you mean `metric`?"},
		{errorOf(c.Lookup("invoice", 0)), "find schema: there is no schema `invoice`; there is metric, security"},
		{errorOf(c.Lookup("metric", 7)), "find schema: `metric` has no version 7; there is 1"},
		{errorOf(c.ForTopic("metric")), "find schema: the topic `metric` has no default schema, so the pipeline must name one (metric, security); did you mean `metrics`?"},
		{errorOf(NewDecoder("jsn", definition(t, "metric"), nil)), "choose format: there is no format `jsn`; did you mean `json`?"},
		{errorOf(NewDecoder("protobuf", definition(t, "metric"), nil)), "choose format: there is no format `protobuf`; there is auto, cloudtrail, json"},
	} {
		if e.got != e.want {
			t.Errorf("got  %s\nwant %s", e.got, e.want)
		}
	}
}

func errorOf(_ any, err error) string { return fmt.Sprint(err) }

// TestBuiltinFields guards the names that others depend on.
func TestBuiltinFields(t *testing.T) {
	for name, want := range map[string]string{
		"metric": "time:timestamp! name:string! kind:string unit:string value:float! tenant:string service:string host:string producer:string attributes:string",
		"security": "time:timestamp! class:string! activity:string status:string user:string src_ip:string service:string tenant:string host:string mfa:bool " +
			"country:string severity:string operation:string resource:string account:string region:string user_agent:string error:string producer:string attributes:string",
	} {
		var got []string
		for _, f := range definition(t, name).Fields {
			s := f.Name + ":" + f.Kind.String()
			if f.Required {
				s += "!"
			}
			got = append(got, s)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, strings.Join(got, " "), want)
		}
	}
}

func TestEveryFormatMakesADecoder(t *testing.T) {
	def := definition(t, "security")
	for _, format := range Formats() {
		d, err := NewDecoder(format, def, def.Names())
		if err != nil || !slices.Equal(d.Schema().Names(), def.Names()) {
			t.Errorf("%s: %v", format, err)
		}
		if d, err := NewDecoder(format, def, []string{"nothing"}); d != nil || err == nil {
			t.Errorf("%s: got %v, %v for an unknown column", format, d, err)
		}
	}
}

func TestParseReportsAllMistakes(t *testing.T) {
	_, err := Parse([]byte("schema: x\nfields:\n  - {name: a.b, kind: int, doc: x}\n  - {name: c, kind: text, doc: x}\n  - {name: host, kind: int, doc: x}\n  - {name: host, kind: string, doc: x}\n  - {name: d, kind: int}\n"))
	for _, want := range []string{"a `version` from 1 on", "`a.b` is empty or has a dot", "field `c` of x v0: the kind is none of", "field `host` of x v0 is defined twice", "field `d` of x v0 has no doc", "its kind is string", "a field `time` of kind timestamp", "a field `attributes` of kind string"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if _, err := Parse([]byte("schema: x\nversoin: 1\n")); err == nil || !strings.Contains(err.Error(), "versoin") {
		t.Errorf("an unknown setting was taken: %v", err)
	}
}

// version makes a version of the event x.
func version(t *testing.T, number int, fields ...string) *Definition {
	t.Helper()
	text := fmt.Sprintf("schema: x\nversion: %d\ntopics: [xs]\nfields:\n  - {name: time, kind: timestamp, required: true, doc: x}\n  - {name: attributes, kind: string, doc: x}\n", number)
	for _, f := range fields {
		text += "  - {" + f + ", doc: x}\n"
	}
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCompatible(t *testing.T) {
	a := version(t, 1, "name: n, kind: int", "name: r, kind: string, required: true")
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{[]string{"name: n, kind: int", "name: r, kind: string, required: true"}, ""},
		{[]string{"name: r, kind: string"}, ""},
		{[]string{"name: n, kind: float", "name: added, kind: bool"}, ""},
		{[]string{"name: n, kind: string"}, "`n` is string in x v2 and int in x v1"},
		{[]string{"name: n, kind: int, required: true"}, "x v2 requires `n`, which x v1 may leave out"},
		{[]string{"name: added, kind: bool, required: true"}, "x v2 requires `added`, which x v1 does not have"},
		{[]string{"name: r, kind: int", "name: n, kind: bool"}, "`n` is bool in x v2 and int in x v1"},
	} {
		err := Compatible(version(t, 2, c.fields...), a)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.fields, err, c.want)
		}
	}
	if Compatible(a, definition(t, "metric")) == nil {
		t.Error("different events were called compatible")
	}
	if Compatible(version(t, 2, "name: n, kind: int"), version(t, 1, "name: n, kind: float")) == nil {
		t.Error("a float was called readable as an int")
	}
}

// TestCompatibleVersionsReadOldEvents checks the rule against the decoder: what v1 accepts, a compatible v2 accepts.
func TestCompatibleVersionsReadOldEvents(t *testing.T) {
	v2 := version(t, 2, "name: n, kind: float", "name: added, kind: bool")
	if got := decodeOne(t, jsonOf(t, v2, []string{"n", "added", "attributes"}), `{"time":1795409200,"n":3,"r":"x"}`); got != `n=3 added=<nil> attributes={"r":"x"}` {
		t.Error(got)
	}
}

func TestCatalogRefusesContradictions(t *testing.T) {
	v1, v2 := version(t, 1, "name: n, kind: int"), version(t, 2, "name: n, kind: bool")
	other := *version(t, 1)
	other.Name = "y"
	for _, list := range [][]*Definition{{v1, v1}, {v2, v1}, {v1, &other}} {
		if _, err := NewCatalog(list...); err == nil {
			t.Errorf("%v was taken", list)
		}
	}
	c, err := NewCatalog(version(t, 2, "name: n, kind: float"), v1)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := c.ForTopic("xs"); err != nil || d.Version != 2 {
		t.Errorf("got %v, %v, want the newest", d, err)
	}
	if d, err := c.Lookup("x", 0); err != nil || d.Version != 2 {
		t.Errorf("got %v, %v, want the newest", d, err)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"value", "tenant", "host", "service"}
	for name, want := range map[string]string{"valu": "value", "Tenant": "tenant", "tenat": "tenant", "hst": "host", "sevrice": "service", "x": "", "quantity": ""} {
		if got := Nearest(name, names); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestInstants(t *testing.T) {
	for text, want := range map[string]string{
		"1795409200": "2026-11-23T04:46:40Z", "1795409200250": "2026-11-23T04:46:40.25Z", "1795409200250001": "2026-11-23T04:46:40.250001Z",
		"1795409200250001002": "2026-11-23T04:46:40.250001002Z", "1795409200.25": "2026-11-23T04:46:40.25Z", "1.7954092e9": "2026-11-23T04:46:40Z",
		"99999999999": "a time after the year 2262", "100000000000": "1973-03-03T09:46:40Z", "1795409200250.5": "2026-11-23T04:46:40.2505Z",
		"2026-11-23T06:16:40+01:30": "2026-11-23T04:46:40Z",
	} {
		got, ok := parseInstant([]byte(text))
		if !ok || instantName(got) != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
