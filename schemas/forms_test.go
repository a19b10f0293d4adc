package schemas

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// likes are texts that have much in common with a text: a value is longer, a name or a mark of the grammar is another.
func likes(text string) []string {
	var all []string
	for _, c := range [][2]string{
		{`"n"`, `"nn"`},
		{`"n"`, `"\u006e"`},
		{`"n"`, `"é"`},
		{`"n"`, `n`},
		{`"n"`, `null`},
		{`"n"`, `{}`},
		{`"n"`, `["n"]`},
		{`1`, `2`},
		{`1`, `-0.5e3`},
		{`1`, `"1"`},
		{`1`, `null`},
		{`1`, `{"a":1}`},
		{`1`, `[]`},
		{`1`, ``},
		{`true`, `false`},
		{`true`, `null`},
		{`true`, `truE`},
		{`false`, `tru`},
		{`null`, `true`},
		{`{}`, `{"a":1}`},
		{`{"a":1}`, `{}`},
		{`[]`, `[1]`},
		{`"a"`, `"b"`},
		{`"a"`, `"\u0061"`},
		{`,`, ` ,`},
		{`}`, `} `},
		{`:`, ` :`},
		{`"`, ``},
		{`}`, ``},
	} {
		all = append(all, strings.Replace(text, c[0], c[1], 1), strings.ReplaceAll(text, c[0], c[1]))
		if at := strings.LastIndex(text, c[0]); at >= 0 {
			all = append(all, text[:at]+c[1]+text[at+len(c[0]):])
		}
	}
	return append(all, text+" ", text+"x", text[:max(len(text)-1, 0)])
}

func formTexts(t testing.TB) []string {
	texts := hostile()
	for _, text := range trailSample(t) {
		texts = append(texts, string(text))
	}
	return texts
}

// checkLearned reads a text with a decoder that has learned the forms of others, and with one that has learned nothing.
func checkLearned(t *testing.T, learned stream.Decoder, fresh func(*testing.T) stream.Decoder, text string) {
	t.Helper()
	want := decoded(t, fresh(t), []byte(text))
	for range 2 { // the second time perhaps by its form
		if got := decoded(t, learned, []byte(text)); !got.equal(want) {
			t.Fatalf("%.200q:\nby its form %v\nwithout     %v", text, got, want)
		}
	}
}

// formDecoders make decoders that find a value in every way there is.
func formDecoders(t testing.TB) map[string]func(t *testing.T) stream.Decoder {
	def, security := everything(t), definition(t, "security")
	events := func(fields ...string) func(*testing.T) stream.Decoder {
		return func(t *testing.T) stream.Decoder { return jsonOf(t, def, fields) }
	}
	trail := func(fields ...string) func(*testing.T) stream.Decoder {
		return func(t *testing.T) stream.Decoder {
			d, err := NewCloudTrail(security, fields, DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	return map[string]func(*testing.T) stream.Decoder{
		"all":              events(append(def.Names(), "attributes.a", "attributes.x", "attributes.host")...),
		"none":             events(),
		"one attribute":    events("attributes.a", "host"),
		"trail":            trail("user", "status", "attributes", "attributes.requestParameters.bucketName"),
		"trail attributes": trail("attributes.userIdentity", "attributes.resources"),
	}
}

func TestFormsChangeNothing(t *testing.T) {
	texts := formTexts(t)
	for name, fresh := range formDecoders(t) {
		t.Run(name, func(t *testing.T) {
			together := fresh(t)
			for _, text := range texts {
				checkLearned(t, together, fresh, text)
				alone := fresh(t)
				decoded(t, alone, []byte(text))
				if len(text) > 2000 {
					continue
				}
				for _, like := range likes(text) {
					checkLearned(t, alone, fresh, like)
				}
			}
		})
	}
}

func FuzzForms(f *testing.F) {
	for _, text := range formTexts(f) {
		if likes := likes(text); len(text) < 2000 {
			f.Add([]byte(text), []byte(likes[len(text)%len(likes)]))
		}
	}
	decoders := formDecoders(f)
	f.Fuzz(func(t *testing.T, first, then []byte) {
		for _, fresh := range decoders {
			learned := fresh(t)
			decoded(t, learned, first)
			checkLearned(t, learned, fresh, string(then))
		}
	})
}

func TestFormsAreLearnedAndForgotten(t *testing.T) {
	d := decoder(t, "metric", "host", "value")
	read := func(text string) {
		t.Helper()
		if got := decodeOne(t, d, text); !strings.HasPrefix(got, "host=") {
			t.Fatal(got)
		}
	}
	known := func() int { return d.record.forms.known }
	event := func(i int, rest string) string {
		return fmt.Sprintf(`{"time":%d,"name":"n","value":%d,"host":"h%d"%s}`, 1795409200000+i, i, i, rest)
	}
	for i := range 10 {
		read(event(i, ""))
		read(event(i, `,"attributes":{"a":true}`))
	}
	if known() != 18 {
		t.Errorf("%d of 20 records of two forms are read by them, want 18", known())
	}
	for i := range 3 * account {
		read(event(i, fmt.Sprintf(`,"name %d":1`, i))) // a name that is never seen again
	}
	f := &d.record.forms
	if f.rest == 0 || len(f.steps) > 0 || f.first != 0 {
		t.Errorf("forms that do not pay are still tried: %d steps, %d to rest", len(f.steps), f.rest)
	}
	for i := range rests + account/2 {
		read(event(i, ""))
	}
	if known() < account/4 {
		t.Errorf("%d records are known after a rest, want most of %d", known(), account/2)
	}
}

func TestFormsAreBounded(t *testing.T) {
	d := decoder(t, "metric", "host")
	for i := range account {
		text := fmt.Sprintf(`{"time":1795409200,"name":"n","value":1%s}`, strings.Repeat(fmt.Sprintf(`,"name %d":1`, i), 1+i%300))
		if got := decodeOne(t, d, text); got != "host=<nil>" {
			t.Fatal(got)
		}
	}
	f := &d.record.forms
	if len(f.steps) > maxSteps+1000 || f.fixed > maxFixed+maxLearned {
		t.Errorf("%d steps with %d bytes", len(f.steps), f.fixed)
	}
	at, others := f.steps[f.first].next, 0
	for at = f.steps[at].next; at != 0; at = f.steps[at].other {
		others++
	}
	if others > maxOthers {
		t.Errorf("%d ways to go on at one point", others)
	}
}
