package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// blocks are the small packages that stand on the kernel only and may be used by everything above it.
var blocks = []string{"internal/clock", "internal/columnfile", "internal/expression", "internal/kafkaclient", "internal/objects"}

// steps says which packages of ours a package may import, itself and what lies below it in the tree aside. The longest
// prefix of the package's path decides. Everything not listed here is refused: a new folder has to take its place first.
func steps() map[string][]string {
	with := func(more ...string) []string { return append(more, blocks...) }
	return map[string][]string{
		"stream":               {},
		"stream/streamtest":    {"stream", "internal/clock"},
		"engine":               {"stream"},
		"alerts":               {"stream", "internal/expression"},
		"schemas":              {"stream"},
		"pipelines":            {"engine", "schemas", "stream", "internal/expression"},
		"operators":            with("schemas", "stream"),
		"operators/window":     with("schemas", "stream", "operators/aggregate", "operators/table"),
		"operators/presence":   with("schemas", "stream", "operators/table"),
		"sources":              with("schemas", "stream"),
		"sinks":                with("schemas", "stream"),
		"sinks/postgres":       with("alerts", "schemas", "stream"), // the one sideways edge
		"serve":                {"alerts", "pipelines", "schemas", "stream"},
		"cmd":                  with("alerts", "engine", "internal/config", "internal/devstack", "internal/obs", "operators", "pipelines", "schemas", "serve", "sinks", "sources", "stream"),
		"internal":             {"stream"},
		"internal/obs":         {"engine", "stream"}, // names the engine's figures and spans
		"internal/devstack":    {"stream", "internal/clock"},
		"internal/testservers": {"stream", "internal/chromium", "internal/clock"},
		"internal/chromium":    {}, // drives a browser for tests and pictures; nothing that ships links it
		"internal/lint":        {},
		"docs/design/model":    {"internal/clock"}, // explores the design; shares nothing with what it describes
		"benchmarks/oracle":    {"internal/testservers"},
		"benchmarks":           with("alerts", "benchmarks/oracle", "engine", "internal/chromium", "internal/config", "internal/testservers", "pipelines", "schemas", "sinks", "sources", "stream"),
	}
}

// ladder reports imports that go up or sideways.
func ladder(r *repository) []string {
	var offences []string
	for _, p := range r.packages {
		for _, imported := range p.Imports {
			if to := relative(imported); to != "" && !mayImport(p.short(), to) {
				offences = append(offences, fmt.Sprintf("%s must not import %s", p.short(), to))
			}
		}
	}
	return append(offences, strangers(r)...)
}

// strangers reports imports of the kernel that are not in the standard library.
func strangers(r *repository) []string {
	var offences []string
	for _, p := range r.packages {
		if p.short() != "stream" {
			continue
		}
		for _, imported := range p.Imports {
			if strings.Contains(strings.Split(imported, "/")[0], ".") {
				offences = append(offences, "stream must import the standard library only, not "+imported)
			}
		}
	}
	return offences
}

func mayImport(from, to string) bool {
	rule, allowed := place(from)
	if below(to, rule) && !slices.Contains([]string{"sources", "sinks", "operators", "internal"}, rule) {
		return true // a part of the same thing; siblings of the last four are not
	}
	return slices.ContainsFunc(allowed, func(step string) bool { return below(to, step) })
}

// place finds the package's step.
func place(path string) (rule string, allowed []string) {
	all := steps()
	for rule = path; rule != ""; rule = rule[:max(strings.LastIndex(rule, "/"), 0)] {
		if allowed, found := all[rule]; found {
			return rule, allowed
		}
	}
	return path, nil
}

// below reports whether the path is the folder or in it.
func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// linked reports test code in what is shipped, and embedded servers outside of devstack.
func linked(r *repository) []string {
	var offences []string
	for _, p := range r.packages {
		if below(p.short(), "cmd") {
			for _, dep := range p.Deps {
				if forTests(dep) {
					offences = append(offences, fmt.Sprintf("%s links %s, which is for tests only", p.short(), dep))
				}
			}
		}
		for _, imported := range p.Imports {
			if embedded(imported) && !below(p.short(), "internal/devstack") {
				offences = append(offences, fmt.Sprintf("%s must not import %s: only internal/devstack embeds servers", p.short(), imported))
			}
			if imported == "testing" && !supports(p.short()) {
				offences = append(offences, p.short()+" must not import testing")
			}
		}
	}
	return offences
}

func forTests(path string) bool {
	return supports(relative(path)) || below(relative(path), "benchmarks") ||
		slices.ContainsFunc([]string{"pgregory.net/rapid", "go.uber.org/goleak", "github.com/google/go-cmp", "github.com/johannesboyne/gofakes3"},
			func(name string) bool { return below(path, name) })
}

// supports reports whether the package exists for tests.
func supports(short string) bool {
	return slices.ContainsFunc([]string{"stream/streamtest", "internal/testservers", "internal/golden", "internal/lint"},
		func(name string) bool { return below(short, name) })
}

func embedded(path string) bool {
	return strings.HasPrefix(path, "github.com/twmb/franz-go/pkg/kfake") || strings.HasPrefix(path, "github.com/alicebob/miniredis")
}

// oracle reports what the oracle of the acceptance runs uses of ours: it must not share a mistake with what it checks.
func oracle(r *repository) []string {
	var offences []string
	for _, p := range r.packages {
		if !below(p.short(), "benchmarks/oracle") {
			continue
		}
		for _, dep := range p.Deps {
			if short := relative(dep); short != "" && !below(short, "internal/testservers") && !below(short, "benchmarks/oracle") {
				offences = append(offences, fmt.Sprintf("%s uses %s: it would agree with its mistakes", p.short(), short))
			}
		}
	}
	return offences
}

func TestLadderFindsOffences(t *testing.T) {
	cases := []struct {
		from, to string
		want     bool
	}{
		{"cmd/tidewatch", "internal/devstack/kafka", true},
		{"cmd/tidewatch", "internal/testservers", false},
		{"serve", "alerts", true},
		{"serve", "sinks/redis", false},
		{"serve/api", "serve", true},
		{"engine/rekey", "engine", true},
		{"engine", "pipelines", false},
		{"engine", "internal/objects", false},
		{"stream", "schemas", false},
		{"stream", "stream/streamtest", true}, // not by Go's own rules
		{"stream/streamtest", "stream", true},
		{"sinks/redis", "sinks/parquet", false},
		{"sinks/redis", "alerts", false},
		{"sinks/postgres", "alerts", true},
		{"sinks/parquet", "internal/columnfile", true},
		{"sources/kafka", "engine", false},
		{"operators/shape", "operators/window", false},
		{"operators/window", "operators/table", true},
		{"operators/window/deep", "operators/window", true},
		{"internal/columnfile", "internal/objects", false},
		{"internal/columnfile", "stream", true},
		{"benchmarks/oracle", "engine", false},
		{"newcomer", "stream", false},
		{"streams", "stream", false},
	}
	for _, c := range cases {
		if got := mayImport(c.from, c.to); got != c.want {
			t.Errorf("%s imports %s: allowed %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

func TestLinkedAndOracleFindOffences(t *testing.T) {
	ours := func(short string) string { return module + "/" + short }
	r := &repository{packages: []*pkg{
		{ImportPath: ours("cmd/tidewatch"), Deps: []string{ours("stream/streamtest"), "pgregory.net/rapid", ours("benchmarks/show"), ours("stream")}},
		{ImportPath: ours("serve"), Imports: []string{"testing", "github.com/alicebob/miniredis/v2"}},
		{ImportPath: ours("internal/devstack"), Imports: []string{"github.com/twmb/franz-go/pkg/kfake"}},
		{ImportPath: ours("stream"), Imports: []string{"fmt", "golang.org/x/sync/errgroup"}},
		{ImportPath: ours("benchmarks/oracle"), Deps: []string{"fmt", ours("internal/testservers"), ours("engine")}},
	}}
	if got := linked(r); len(got) != 5 {
		t.Errorf("linked: %q", got)
	}
	if got := oracle(r); len(got) != 1 {
		t.Errorf("oracle: %q", got)
	}
	if got := strangers(r); len(got) != 1 {
		t.Errorf("strangers: %q", got)
	}
}
