package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

const (
	operateDocs = "../../docs/operate"
	runbooks    = operateDocs + "/runbooks"
)

// ownRules are the rules on Tidewatch itself.
func ownRules(t *testing.T) (rules []*pipelines.Alert) {
	t.Helper()
	specs, err := pipelines.LoadLibrary(components(stores{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		for i := range s.Steps {
			if a := s.Steps[i].Alert; a != nil && s.Name.Value == "tidewatch-self" {
				rules = append(rules, a)
			}
		}
	}
	if len(rules) == 0 {
		t.Fatal("there are no rules on tidewatch itself")
	}
	return rules
}

// TestRunbooks: each rule on Tidewatch itself has a page that says when it fires, what to do and what not, its label leads
// there, and there is no page without a rule.
func TestRunbooks(t *testing.T) {
	index := readText(t, filepath.Join(runbooks, "README.md"))
	pages := map[string]bool{"README.md": true}
	for _, a := range ownRules(t) {
		name := a.Name.Value
		page := name + ".md"
		pages[page] = true
		text := readText(t, filepath.Join(runbooks, page))
		fires := "Fires when `" + a.When.Value + "`"
		if a.For.Duration > 0 {
			fires += " for " + pipelines.FormatDuration(a.For.Duration)
		}
		for _, want := range []string{
			"# " + name + "\n", fires + ", severity " + a.Severity.Value, "**What it means.**", "**See it.**", "**Causes, the likely first", "**What to do.**",
			"**What not to do.**", "**In Prometheus:**",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", page, want)
			}
		}
		label := ""
		for _, l := range a.Labels {
			if l.Name.Value == "runbook" {
				label = l.Expr.Value
			}
		}
		if label != "docs/operate/runbooks/"+page {
			t.Errorf("the label runbook of %s is %q", name, label)
		}
		if !strings.Contains(index, fmt.Sprintf("| [%s](%s) | %s |", name, page, a.Severity.Value)) {
			t.Errorf("the list of runbooks lacks %s, %s", name, a.Severity.Value)
		}
	}
	files, err := os.ReadDir(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !pages[f.Name()] {
			t.Errorf("%s is the page of no rule", f.Name())
		}
	}
}

// TestRulesForPrometheus: each rule on Tidewatch itself has one of the same severity for Prometheus, which its page names.
func TestRulesForPrometheus(t *testing.T) {
	type rule struct {
		Alert, Expr, For    string
		Labels, Annotations map[string]string
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.UnmarshalWithOptions([]byte(readText(t, operateDocs+"/prometheus-rules.yaml")), &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	rules := map[string]rule{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules[r.Alert] = r
		}
	}
	for _, a := range ownRules(t) {
		name := a.Name.Value
		r := rules[name]
		if r.Labels["severity"] != a.Severity.Value || r.Labels["runbook"] != "docs/operate/runbooks/"+name+".md" || r.Annotations["summary"] == "" {
			t.Errorf("%s: %+v", name, r)
		}
		if want := "**In Prometheus:** `" + r.Expr + "` for " + r.For + "."; !strings.Contains(readText(t, filepath.Join(runbooks, name+".md")), want) {
			t.Errorf("the page of %s lacks %s", name, want)
		}
	}
}

// TestRulesReadWhatIsSent: every figure that tidewatch-self reads is one that a worker with all troubles sends.
func TestRulesReadWhatIsSent(t *testing.T) {
	m, s := selfTask()
	m.measure([]engine.TaskStatus{*s}, selfAt)
	read(s, 12, stream.BucketRejected)
	s.Outputs["redis"], s.Ledger[stream.BucketCounted] = "away", s.Ledger[stream.BucketCounted]+1
	failed := *s
	failed.Task.Partition.Number, failed.State = 1, "failed"
	isolated := *s
	isolated.Task.Partition.Number, isolated.State, isolated.Quarantined = 2, "isolating", 1
	isolated.Limit = engine.GroupLimit{Most: 10, Groups: 10, Overflow: 3}
	points := m.measure([]engine.TaskStatus{*s, failed, isolated}, selfAt.Add(time.Hour))
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: requestsMetric}, []string{"route", "status"})
	h.WithLabelValues("status", "500").Observe(1)
	answers, err := m.answers(h)
	if err != nil {
		t.Fatal(err)
	}
	points = append(append(points, answers...), unready(t.Context(), map[string]func(context.Context) error{"Redis": func(context.Context) error { return errRefill }})...)
	sent := map[string]bool{}
	for _, p := range points {
		sent[`"`+p.Name+`"`] = true
	}
	text := readText(t, "../../pipelines/library/tidewatch-self.yaml")
	figures := regexp.MustCompile(`"tidewatch\.[a-z]+\.[a-z.]+"`).FindAllString(text, -1)
	if len(figures) < 10 {
		t.Fatalf("found only %v", figures)
	}
	for _, f := range figures {
		if !sent[f] {
			t.Errorf("nobody sends %s", f)
		}
	}
}

// TestOperatingNamesWhatExists: commands with their flags, metrics, and tables.
func TestOperatingNamesWhatExists(t *testing.T) {
	known := readText(t, operateDocs+"/metrics.md")
	tables, err := filepath.Glob("../../sinks/postgres/migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range tables {
		known += readText(t, file)
	}
	commands, metrics := 0, 0
	for _, file := range globbed(t, operateDocs+"/*.md", operateDocs+"/*.yaml", runbooks+"/*.md") {
		text := readText(t, file)
		for _, line := range regexp.MustCompile("(?m)(?:^\\$ |`)tidewatch ([a-z][^`\n#|]*)").FindAllStringSubmatch(text, -1) {
			commands++
			if err := parses(line[1]); err != nil {
				t.Errorf("%s: tidewatch %s: %v", file, line[1], err)
			}
		}
		for _, name := range regexp.MustCompile(`\btidewatch_[a-z_]+`).FindAllString(text, -1) {
			metrics++
			base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if !strings.Contains(known, name) && !strings.Contains(known, "`"+base+"` | histogram") {
				t.Errorf("%s: there is neither a metric nor a table %s", file, name)
			}
		}
	}
	if commands < 30 || metrics < 30 {
		t.Errorf("found %d commands and %d metrics", commands, metrics)
	}
}

// parses reports whether a line is a command of ours with flags and arguments that it takes.
func parses(line string) error {
	words := []string{}
	for _, w := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(line, -1) {
		if w == ">" {
			break
		}
		words = append(words, strings.Trim(w, `"`))
	}
	c, rest, err := (&app{}).root().Find(words)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if !c.Runnable() || c.HasSubCommands() {
		return nil // spoken of as a whole
	}
	return c.ValidateArgs(c.Flags().Args())
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func globbed(t *testing.T, patterns ...string) (all []string) {
	t.Helper()
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil || len(files) == 0 {
			t.Fatal(p, err)
		}
		all = append(all, files...)
	}
	return all
}
