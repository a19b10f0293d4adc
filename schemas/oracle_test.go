package schemas

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// The oracle reads records with encoding/json and math/big, as slowly and plainly as possible.

var (
	numberForm  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	instantForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([zZ]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
)

type members map[string]json.RawMessage

// everything is a definition with a field of each kind.
func everything(t testing.TB) *Definition {
	t.Helper()
	d, err := Parse([]byte(`
schema: everything
version: 1
fields:
  - {name: time, kind: timestamp, required: true, doc: x}
  - {name: name, kind: string, required: true, doc: x}
  - {name: count, kind: int, doc: x}
  - {name: value, kind: float, doc: x}
  - {name: flag, kind: bool, doc: x}
  - {name: seen, kind: timestamp, doc: x}
  - {name: service, kind: string, doc: x}
  - {name: host, kind: string, doc: x}
  - {name: producer, kind: string, doc: x}
  - {name: a_long_name_of_a_field, kind: string, doc: x}
  - {name: a_long_name_of_a_fiend, kind: string, doc: x}
  - {name: attributes, kind: string, doc: x}
`))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// verdict is what the oracle or a decoder says about a record.
type verdict struct {
	code     Code
	time     stream.Time
	producer uint64
	row      map[string]any
}

func (v verdict) equal(w verdict) bool {
	return v.code == w.code && v.time == w.time && v.producer == w.producer && maps.EqualFunc(v.row, w.row, sameValue)
}

func sameValue(a, b any) bool {
	f, ok1 := a.(float64)
	g, ok2 := b.(float64)
	if ok1 && ok2 {
		return math.Float64bits(f) == math.Float64bits(g)
	}
	return a == b
}

// oracleJSON is what NewJSON promises.
func oracleJSON(def *Definition, fields []string, text []byte) verdict {
	var top, inner members
	if !json.Valid(text) || json.Unmarshal(text, &top) != nil || top == nil {
		return verdict{code: InvalidJSON}
	}
	row := map[string]any{}
	for _, f := range def.Fields {
		v, code := oracleField(f, top[f.Name])
		if code != "" && (f.Name != TimeField || code != InvalidTime) {
			return verdict{code: code}
		}
		row[f.Name] = v
	}
	t, ok := row[TimeField].(stream.Time)
	if !ok {
		return verdict{code: InvalidTime}
	}
	if code := oracleTime(t); code != "" {
		return verdict{code: code}
	}
	if raw := top[AttributesField]; raw != nil && json.Unmarshal(raw, &inner) != nil {
		return verdict{code: WrongType}
	}
	for name := range top {
		if _, known := def.Field(name); !known && string(top[name]) != "null" {
			if inner == nil {
				inner = members{}
			}
			inner[name] = top[name]
		}
	}
	row[AttributesField] = oracleCanonical(inner)
	v := verdict{time: t, producer: oracleProducer(row), row: map[string]any{}}
	for _, name := range fields {
		v.row[name] = row[name]
		if attr, ok := strings.CutPrefix(name, attributePrefix); ok {
			v.row[name] = oracleText(inner[attr])
		}
	}
	return v
}

func oracleProducer(row map[string]any) uint64 {
	for _, name := range []string{producerField, hostField, serviceField} {
		if s, ok := row[name].(string); ok && s != "" {
			return stream.HashProducer([]byte(s))
		}
	}
	return 0
}

func oracleField(f Field, raw json.RawMessage) (any, Code) {
	if raw == nil || string(raw) == "null" {
		if f.Required {
			return nil, MissingField
		}
		return nil, ""
	}
	c := raw[0]
	isNumber := c == '-' || c >= '0' && c <= '9'
	switch {
	case f.Name == AttributesField:
		return nil, wrongUnless(c == '{')
	case f.Kind == stream.String:
		return oracleText(raw), wrongUnless(c == '"')
	case f.Kind == stream.Bool:
		return c == 't', wrongUnless(c == 't' || c == 'f')
	case f.Kind == stream.Float:
		v, err := strconv.ParseFloat(string(raw), 64)
		return v, wrongUnless(isNumber && err == nil)
	case f.Kind == stream.Int:
		v, err := strconv.ParseInt(string(raw), 10, 64)
		return v, wrongUnless(isNumber && err == nil)
	case isNumber || c == '"':
		t, ok := oracleInstant(oracleText(raw).(string))
		if !ok || f.Name != TimeField && (t == tooOld || t == tooFuture) {
			return nil, InvalidTime
		}
		return t, ""
	}
	return nil, WrongType
}

func wrongUnless(ok bool) Code {
	if ok {
		return ""
	}
	return WrongType
}

func oracleTime(t stream.Time) Code {
	switch {
	case t < year2000:
		return TimeTooOld
	case t > now.Add(24*time.Hour):
		return TimeInFuture
	}
	return ""
}

// oracleText is an attribute as text, nil if absent.
func oracleText(raw json.RawMessage) any {
	switch {
	case raw == nil || string(raw) == "null":
		return nil
	case raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			panic(err)
		}
		return s
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		panic(err)
	}
	return string([]rune(b.String()))
}

func oracleCanonical(m members) any {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		text, ok := oracleText(m[name]).(string)
		switch {
		case !ok:
			continue
		case m[name][0] == '"':
			text = oracleQuote(text)
		}
		parts = append(parts, oracleQuote(name)+":"+text)
	}
	if len(parts) == 0 {
		return nil
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func oracleQuote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err)
	}
	// encoding/json escapes these two for JavaScript's sake.
	return strings.NewReplacer(`\\`, `\\`, `\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.TrimSuffix(b.String(), "\n"))
}

func oracleInstant(s string) (stream.Time, bool) {
	if numberForm.MatchString(s) {
		return oracleNumberInstant(s), true
	}
	if !instantForm.MatchString(s) {
		return 0, false
	}
	var t time.Time
	if len(s) > 10 && (s[10] == 't' || s[10] == ' ') {
		s = s[:10] + "T" + s[11:]
	}
	if rest, ok := strings.CutSuffix(s, "z"); ok {
		s = rest + "Z"
	}
	if t.UnmarshalText([]byte(s)) != nil {
		return 0, false
	}
	switch {
	case t.Unix() < 0:
		return tooOld, true
	case t.Unix() >= math.MaxInt64/1_000_000_000:
		return tooFuture, true
	}
	return stream.TimeOf(t), true
}

func oracleNumberInstant(s string) stream.Time {
	if digits, exp, ok := strings.Cut(strings.ToLower(s), "e"); ok && len(exp) > 5 {
		zero := !strings.ContainsAny(digits, "123456789")
		e, err := strconv.Atoi(exp)
		switch far := err != nil || e < -9999 || e > 9999; {
		case far && strings.HasPrefix(s, "-") && !zero:
			return tooOld
		case far && (zero || strings.HasPrefix(exp, "-")):
			return 0
		case far:
			return tooFuture
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	if r.Sign() < 0 {
		return tooOld
	}
	for _, unit := range []struct{ below, nanos int64 }{{1e11, 1e9}, {1e14, 1e6}, {1e17, 1e3}} {
		if r.Cmp(new(big.Rat).SetInt64(unit.below)) < 0 {
			r.Mul(r, new(big.Rat).SetInt64(unit.nanos))
			break
		}
	}
	n := new(big.Int).Quo(r.Num(), r.Denom())
	if !n.IsInt64() || n.Int64() == math.MaxInt64 {
		return tooFuture
	}
	return stream.Time(n.Int64())
}

// decoded is what the decoder says.
func decoded(t testing.TB, d stream.Decoder, text []byte) verdict {
	t.Helper()
	b := stream.NewBatch(d.Schema())
	err := d.Decode(&stream.Message{Offset: 7, Timestamp: now, Value: text}, b)
	if err != nil {
		if stream.KindOfError(err) != stream.Reject || CodeOf(err) == "" {
			t.Fatalf("%q: the error is no rejection: %v", text, err)
		}
		checkEmpty(t, b)
		return verdict{code: CodeOf(err)}
	}
	if b.Len() != 1 || len(b.Offset) != 1 || len(b.Bytes) != 1 || len(b.Timestamp) != 1 || len(b.Mark) != 0 {
		t.Fatalf("%q: the batch has %d rows", text, b.Len())
	}
	v := verdict{time: b.Time[0], producer: b.Producer[0], row: map[string]any{}}
	for i, f := range b.Schema.Fields {
		if b.Cols[i].Len() != 1 {
			t.Fatalf("%q: column %s has %d values", text, f.Name, b.Cols[i].Len())
		}
		v.row[f.Name] = b.Cols[i].Value(0)
	}
	return v
}

func checkEmpty(t testing.TB, b *stream.Batch) {
	t.Helper()
	total := b.Len() + len(b.Time) + len(b.Offset) + len(b.Timestamp) + len(b.Bytes) + len(b.Producer)
	for i := range b.Cols {
		total += b.Cols[i].Len() + len(b.Cols[i].Null)
	}
	if total != 0 {
		t.Fatalf("a rejected record left something in the batch")
	}
}
