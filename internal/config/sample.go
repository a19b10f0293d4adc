package config

import (
	"fmt"
	"strings"
)

// Sample is a file that says everything there is: what has a default has it, the rest is an example behind a comment sign.
// objects is the value of objects.url, the only key without which nothing runs.
func Sample(objects string) string {
	var b strings.Builder
	b.WriteString(`# Configuration of tidewatch. Values are the defaults; keys behind a comment sign have none.
#
# The environment wins over this file: TIDEWATCH_KAFKA__BROKERS=a:9092,b:9092 sets kafka.brokers (two underscores stand for a
# dot), and --set kafka.brokers=a:9092 wins over both. Check it by: tidewatch config check, tidewatch doctor.
`)
	all := Fields()
	for i := range all {
		f := &all[i]
		depth := strings.Count(f.Key, ".")
		if depth == 0 {
			fmt.Fprintf(&b, "\n# %s\n", f.About)
		}
		value, sign := f.Default, ""
		if f.Key == "objects.url" {
			value = fmt.Sprintf("%q", objects)
		}
		if optional(all, f) {
			value, sign = exampleOf(f), "# "
		}
		line := strings.Repeat("  ", depth) + sign + f.Name() + ":"
		if inner := strings.Count(f.Key, "."); sign != "" && inner > 1 { // below a section that is behind a sign itself
			line = "  # " + strings.Repeat("  ", depth-1) + f.Name() + ":"
		}
		if value != "" {
			line += " " + value
		}
		if depth > 0 {
			line = fmt.Sprintf("%-46s # %s", line, f.About)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// optional reports whether a key is left out of a file of defaults. A section is, if all that it holds is.
func optional(all []Field, f *Field) bool {
	if f.Key == "objects.url" {
		return false
	}
	if !f.Section {
		return f.Default == ""
	}
	for i := range all {
		if strings.HasPrefix(all[i].Key, f.Key+".") && !optional(all, &all[i]) {
			return false
		}
	}
	return true
}

func exampleOf(f *Field) string {
	switch {
	case f.Section || f.Example == "":
		return ""
	case f.Key == "pipelines":
		return "[" + f.Example + "]"
	case f.kind.String() == "int16":
		return f.Example
	}
	return fmt.Sprintf("%q", f.Example)
}
