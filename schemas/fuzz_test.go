package schemas

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// hostile are texts near the borders of the grammar. They seed the fuzzing and are checked by every test run.
func hostile() []string {
	deep := strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1)
	event := func(rest string) string { return `{"time":1795409200,"name":"n"` + rest + `}` }
	texts := []string{
		metricEvent, securityEvent, event(""), " \t\r\n" + event("") + "\n", event("") + "x", event("") + "{}", event(",") + "", "", " ", "{", "{}", "[]", "null", `"x"`, "{,}",
		"\xef\xbb\xbf" + event(""),
		// numbers
		event(`,"value":-0`), event(`,"value":-0.0e-0`), event(`,"value":1e308`), event(`,"value":1.7976931348623157e308`), event(`,"value":1e309`),
		event(`,"value":0e999999999999`), event(`,"value":1e-999999999999`), event(`,"value":01`), event(`,"value":-`), event(`,"value":1.`), event(`,"value":.5`),
		event(`,"value":+1`), event(`,"value":1e`), event(`,"value":1e+`), event(`,"value":0.1234567890123456789012345`), event(`,"value":123456789012345678901234567890`),
		event(`,"value":9007199254740993`), event(`,"value":9007199254740992.5e-3`), event(`,"value":1e22`), event(`,"value":1e23`), event(`,"value":` + strings.Repeat("9", 400)),
		event(`,"value":0.` + strings.Repeat("0", 400) + `1`), event(`,"value":NaN`), event(`,"value":"1"`), event(`,"value":null`), event(`,"value":12345678`), event(`,"value":1234567a`),
		event(`,"count":9223372036854775807`), event(`,"count":9223372036854775808`), event(`,"count":-9223372036854775808`), event(`,"count":-9223372036854775809`),
		event(`,"count":1.0`), event(`,"count":1e2`), event(`,"count":-0`), event(`,"count":18446744073709551616`), event(`,"count":1e400`),
		// strings
		event(`,"host":"\ud83d\ude00"`), event(`,"host":"\ud83d"`), event(`,"host":"\ude00\ud83d"`), event(`,"host":"\ud83d\u0041"`), event(`,"host":"\ud83d\\u0041"`), event(`,"host":"\ud83d\ud83d\ude00"`),
		event(`,"host":"\u00"`), event(`,"host":"\u00g0"`), event(`,"host":"\x"`), event(`,"host":"\`), event(`,"host":"a` + "\n" + `"`), event(`,"host":"` + "\x00" + `"`), event(`,"host":"` + "\x7f" + `"`),
		event(`,"host":"\"\\\/\b\f\n\r\t"`), event(`,"host":"` + "\xff\xfe\xc3" + `"`), event(`,"host":"` + "\xed\xa0\x80" + `é日本😀"`), event(`,"host":"1234567\n1234567é12345678"`), event(`,"host":""`),
		event(`,"host":""` + `,"service":"s"`), event(`,"producer":"","host":null,"service":"s"`), event(`,"producer":"p","host":"h"`),
		// keys
		event(`,"n\u0061me":"other"`), event(`,"v\u0061lue":3,"value":4`), event(`,"":1`), event(`,"name\u0000":1`), event(`,"Name":1`), event(`,"é":1,"\u00e9":2`), event(`,"` + "\xff" + `":1,"` + "\xfe" + `":2`),
		event(`,"a_long_name_of_a_field":"1","a_long_name_of_a_fiend":"2","a_long_name_of_a_fie":"3"`), event(`,name:1`), event(`,"x"`), event(`,"x":`), event(`,"x" : 1 , "y"	:	2 `),
		// repeated and null
		event(`,"value":"x","value":1`), event(`,"value":1,"value":"x"`), event(`,"value":1,"value":null`), event(`,"name":null`), event(`,"name":null,"name":"m"`), event(`,"time":null`),
		event(`,"attributes":{"a":1},"attributes":{"b":2}`), event(`,"attributes":{"a":1},"attributes":null`), event(`,"attributes":{"a":1},"attributes":3`), event(`,"attributes":[]`), event(`,"attributes":{"a":1,"a":2}`),
		event(`,"attributes":{"a":1,"a":null}`), event(`,"a":1,"attributes":{"a":2}`), event(`,"attributes":{"a":2},"a":1`), event(`,"attributes":{"a":2},"a":null`), event(`,"a":1,"a":null,"attributes":{"a":2}`),
		event(`,"attributes":{"host":"h"}`), event(`,"attributes":{"a":{"x" : [ 1 , "b c" , null ] },"b":true,"c":false,"d":null,"e":"q\"\u0007\u2028<"}`), event(`,"attributes":{"a":1},"b":2,"attributes":{"c":3}`),
		event(`,"b":2,"attributes":{"b":3,"b":4},"b":5`), event(`,"attributes":{"attributes":{"a":1}}`), event(`,"attributes.a":1`), event(`,"attributes":{"a":1`),
		// nesting
		event(`,"x":` + deep), event(`,"x":[` + deep + `]`), event(`,"attributes":{"a":` + deep[1:len(deep)-1] + `}`), event(`,"attributes":{"a":` + deep + `}`), event(`,"x":[1,]`), event(`,"x":[,1]`), event(`,"x":[1 2]`), event(`,"x":{"a":1,}`),
		event(`,"x":[{"a":[{}, []]}, tru]`), event(`,"x":truE`), event(`,"x":nul`), event(`,"x":falsey`), event(`,"x":[}`), event(`,"x":{]`), event(`,"x":{"a":}`), event(`,"x":{"a" 1}`), event(`,"x":{1:2}`),
		event(`,"flag":true`), event(`,"flag":false,"flag":"true"`), event(`,"flag":0`), event(`,"host":5`), event(`,"host":["a"]`), event(`,"seen":"2000-02-30T00:00:00Z"`), event(`,"seen":1e30`), event(`,"seen":"x"`), event(`,"seen":true`), event(`,"seen":1795409200123`),
	}
	for _, at := range instants() {
		texts = append(texts, `{"name":"n","time":`+at+`}`, `{"time":"`+strings.Trim(at, `"`)+`","name":"n"}`)
	}
	return texts
}

// instants are values of time near borders.
func instants() []string {
	return []string{
		`0`, `-1`, `1`, `946684799`, `946684800`, `946684799.999999999`, `946684800000`, `1795409200250`, `1795409200250000`, `1795409200250123456`, `1795409200.25`, `1795409200.2501234567891`, `1795409200.25012345678901234567890`,
		`17954092e2`, `1.7954092e9`, `1.7954092002501234567891e18`, `1795495600`, `1795495601`, `1795495600000`, `1795495600001`, `99999999999`, `99999999999.9`, `100000000000`, `99999999999999`, `100000000000000`, `99999999999999999`, `100000000000000000`,
		`9223372036854775806`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `1e400`, `1e-400`, `1e99999999999`, `0e99999999999`, `0.0`, `00`, `1795409200 `, `true`, `{}`, `1e5`,
		`"2026-11-23T05:00:00Z"`, `"2026-11-23t05:00:00z"`, `"2026-11-23 05:00:00Z"`, `"2026-11-23T05:00:00.123456789Z"`, `"2026-11-23T05:00:00.1234567899Z"`, `"2026-11-23T05:00:00.Z"`, `"2026-11-23T05:00:00,5Z"`, `"2026-11-23T05:00:00+01:30"`, `"2026-11-23T05:00:00-23:59"`,
		`"2026-11-23T05:00:00+24:00"`, `"2026-11-23T05:00:00+0100"`, `"2026-11-23T05:00:00"`, `"2026-11-23T05:00Z"`, `"2026-11-23"`, `"2026-11-23T24:00:00Z"`, `"2026-11-23T23:59:60Z"`, `"2026-02-29T00:00:00Z"`, `"2024-02-29T00:00:00Z"`, `"2100-02-29T00:00:00Z"`, `"2000-02-29T00:00:00Z"`,
		`"2026-13-01T00:00:00Z"`, `"2026-00-01T00:00:00Z"`, `"2026-04-31T00:00:00Z"`, `"2026-11-23T5:00:00Z"`, `"1999-12-31T23:59:59.999999999Z"`, `"2000-01-01T00:00:00Z"`, `"0000-01-01T00:00:00Z"`, `"1969-12-31T23:59:59Z"`, `"1970-01-01T00:00:00Z"`, `"2262-04-11T23:47:16.854775807Z"`, `"9999-12-31T23:59:59Z"`,
		`"2026-11-23T05:00:00\u005a"`, `"2026-11-23T05:00:00Z "`, `""`, `"-"`, `"é"`, `"2026-11-23X05:00:00Z"`, `"2026/11/23T05:00:00Z"`, `"20x6-11-23T05:00:00Z"`, `"2026-11-23T05:00:0xZ"`,
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range hostile() {
		f.Add([]byte(text))
	}
	def := everything(f)
	all := append(def.Names(), "attributes.a", "attributes.x", "attributes.host")
	full, bare, few := jsonOf(f, def, all), jsonOf(f, def, nil), jsonOf(f, def, []string{"attributes.a", "host", "attributes." + "é"})
	f.Fuzz(func(t *testing.T, text []byte) {
		got, want := decoded(t, full, text), oracleJSON(def, all, text)
		if !got.equal(want) {
			t.Errorf("%q:\ngot  %v\nwant %v", text, got, want)
		}
		if b := decoded(t, bare, text); b.code != got.code || b.time != got.time || b.producer != got.producer {
			t.Errorf("%q: the projection changes the verdict: %v, %v", text, got, b)
		}
		if b := decoded(t, few, text); !b.equal(oracleJSON(def, []string{"attributes.a", "host", "attributes.é"}, text)) {
			t.Errorf("%q: a smaller projection gives %v", text, b)
		}
		// Beside the fields a value may be as deep as encoding/json goes; inside of attributes it is written one level deeper.
		if got.code == "" && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) < maxDepth {
			checkRoundTrip(t, def, text)
		}
	})
}

func jsonOf(t testing.TB, def *Definition, fields []string) *JSON {
	t.Helper()
	d, err := NewJSON(def, fields, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkRoundTrip encodes the row of a good record and expects the same row from the result.
func checkRoundTrip(t testing.TB, def *Definition, text []byte) {
	t.Helper()
	for _, fields := range [][]string{def.Names(), {"value", "attributes.x", "producer", "attributes.a"}} {
		d := jsonOf(t, def, append(fields, "name")[:max(len(fields), 5)])
		b := stream.NewBatch(d.Schema())
		if err := d.Decode(&stream.Message{Timestamp: now, Value: text}, b); err != nil {
			t.Fatal(err)
		}
		again := AppendJSON(nil, b, 0)
		if got, want := decoded(t, d, again), decoded(t, d, text); got.code != "" || got.time != want.time || !got.equal(verdict{"", want.time, got.producer, want.row}) {
			t.Errorf("%q was written as %q:\ngot  %v\nwant %v", text, again, got, want)
		}
	}
}

func FuzzInstant(f *testing.F) {
	for _, at := range instants() {
		f.Add(strings.Trim(at, `"`))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseInstant([]byte(text))
		want, wantOK := oracleInstant(text)
		if ok != wantOK || ok && got != want {
			t.Errorf("%q: got %d, %v; want %d, %v", text, got, ok, want, wantOK)
		}
	})
}
