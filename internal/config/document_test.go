package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/golden"
)

// TestDocument: docs/operate/configuration.md says what Fields says.
func TestDocument(t *testing.T) {
	golden.File(t, "../../docs/operate/configuration.md", configurationPage())
}

func configurationPage() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Made from the code (` + "`config.Fields`" + `) by ` + "`make golden`" + `; a test compares it. A file with all keys and comments is
[deploy/tidewatch.yaml](../../deploy/tidewatch.yaml); ` + "`tidewatch config init`" + ` writes another one.

The file is the one of ` + "`--config`, else of `TIDEWATCH_CONFIG`, else `tidewatch.yaml` here, else the one that `tidewatch up`" + ` has written into its
folder. The environment wins over the file, ` + "`--set KEY=VALUE`" + ` over both; a list is written with commas there. An unknown key is refused
with its line, one of the environment too. A worker reads all of this once, when it starts.

` + "```console" + `
$ tidewatch config check -c tidewatch.yaml
$ tidewatch config show -c tidewatch.yaml
$ tidewatch doctor -c tidewatch.yaml
` + "```" + `

` + "`check`" + ` reports every mistake with its line and asks no server. ` + "`show`" + ` prints the values in force and where each comes from. ` + "`doctor`" + ` asks
the servers too, and says what to do.

A secret is never shown, neither by ` + "`show`" + ` nor in logs; of an address that may hold a password, only the password is hidden. A key ` + "`…_file`" + `
wins over the value beside it; white space around the content of the file is cut off.
`)
	for _, f := range Fields() {
		if f.Section && !strings.Contains(f.Key, ".") {
			fmt.Fprintf(&b, "\n## %s\n%s\n\n", f.Key, f.About)
			tableHead(&b)
			continue
		}
		if !strings.Contains(f.Key, ".") {
			fmt.Fprintf(&b, "\n## %s\n\n", f.Key)
			tableHead(&b)
		}
		f.row(&b)
	}
	return b.String()
}

func tableHead(b *strings.Builder) {
	b.WriteString("| key | environment | type | default | secret | what it is |\n|---|---|---|---|---|---|\n")
}

// row is a line of the table. What has no default has an example.
func (f *Field) row(b *strings.Builder) {
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	variable, value, about := "", "none", f.About
	if v := f.Variable(); v != "" {
		variable = "`" + v + "`"
	}
	switch {
	case f.Default != "":
		value = "`" + f.Default + "`"
	case f.Section:
		value = "left out"
	case f.kind.String() == "int16":
		value = "`0`"
	}
	if f.Default == "" && f.Example != "" && f.Secret != "all" {
		about = strings.TrimSuffix(about, ".") + ". Example: `" + f.Example + "`."
	}
	secret := map[string]string{"": "no", "all": "yes", "part": "its password"}[f.Secret]
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", f.Key, variable, f.Type(), cell(value), secret, cell(about))
}

// TestSampleOfDeploy: the sample shows every key in its place, with its default or example, and says of it what Fields says.
func TestSampleOfDeploy(t *testing.T) {
	const sample = "../../deploy/tidewatch.yaml"
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	in := inspect(sample, []byte(regexp.MustCompile(`(?m)^(\s*)# (\s*[a-z_]+:(\s|$))`).ReplaceAllString(text, "$1$2")))
	if len(in.problems) > 0 {
		t.Fatal(in.problems)
	}
	for _, f := range Fields() {
		place, shown := in.places[f.Key]
		if !shown {
			if _, asFile := in.places[f.Key+"_file"]; !asFile || !strings.Contains(text, "# or "+f.Name()+":") {
				t.Errorf("%s lacks the key %s", sample, f.Key)
			}
			continue
		}
		line := in.lines[place.key.Position.Line-1]
		if f.kind.String() == "string" && !strings.Contains(f.Default+f.Example, strings.Trim(place.value.Value, `"`)) {
			t.Errorf("%s: %s has neither the default %s nor the example %s", line, f.Key, f.Default, f.Example)
		}
		_, comment, _ := strings.Cut(line, "  # ")
		if comment = strings.TrimSpace(comment); !strings.HasPrefix(comment, "or ") && !strings.Contains(strings.ToLower(f.About), strings.ToLower(comment)) {
			t.Errorf("%s: of %s the code says %q", line, f.Key, f.About)
		}
	}
}

// TestVariablesSetTheirKeys: the name that is told is the one that is read.
func TestVariablesSetTheirKeys(t *testing.T) {
	for _, f := range Fields() {
		if v := f.Variable(); !f.Section && keyOf(v) != f.Key || f.Section && v != "" {
			t.Errorf("%s of %s sets %q", v, f.Key, keyOf(v))
		}
	}
}
