// Command mutants plants bugs into the engine and its operators, one at a time, and sees each caught: by the random histories of
// engine/metamorphic_test.go, by its crash tests, by the runs of all shipped pipelines, or by the property test of the ledger in cmd/tidewatch. Nothing of the project is changed: the
// compiler takes the changed file instead of the project's.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The suites.
const (
	metamorphic = "metamorphic"
	determinism = "determinism"
	ledgers     = "ledger"
	crashes     = "crashes"
	failOvers   = "fail-overs"
	snapshots   = "snapshots"
)

// suite is a test that catches mutants.
type suite struct {
	pack string // of the project
	args []string
}

type options struct {
	histories  int
	seed       uint64
	only, into string
	each       time.Duration
}

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.IntVar(&o.histories, "histories", 20000, "histories in which a mutant must be caught")
	flag.Uint64Var(&o.seed, "seed", 7, "seed of the first thousand histories")
	flag.StringVar(&o.only, "only", "", "part of the names of the mutants to plant; default all")
	flag.StringVar(&o.into, "results", "", "file for a table, Markdown")
	flag.DurationVar(&o.each, "each", 20*time.Minute, "how long a mutant may take until it is caught")
	flag.Parse()
	if err := plantAll(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "mutants: "+err.Error())
		return 1
	}
	return 0
}

func (o *options) suites() map[string]suite {
	histories := []string{"-histories", strconv.Itoa(o.histories), "-seed", strconv.FormatUint(o.seed, 10)}
	return map[string]suite{
		crashes:     {"engine", append(histories, "-test.run", "TestCrashes$")},
		failOvers:   {"engine", append(histories, "-test.run", "TestCrashesWithFailOver$")},
		metamorphic: {"engine", append(histories, "-test.run", "TestMetamorphic$", "-rapid.shrinktime", "1ns")},
		snapshots:   {"engine", []string{"-test.run", "TestSnapshot"}},
		determinism: {"cmd/tidewatch", []string{"-test.run", "TestEveryPipelineIsDeterministic|TestReplayOfShippedPipelines"}},
		ledgers:     {"cmd/tidewatch", []string{"-test.run", "TestEveryOffsetIsInOneBucket"}},
	}
}

// caught is how a mutant fared.
type caught struct {
	*mutant

	by        string // what the suite said; "" if nothing
	histories int    // until then; 0 for a suite that has none
}

func plantAll(ctx context.Context, o *options) (err error) {
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	list := mutants()
	var all []*caught
	for i := range list {
		if !strings.Contains(list[i].name, o.only) {
			continue
		}
		c := &caught{mutant: &list[i]}
		if err := c.hunt(ctx, dir, o); err != nil {
			return fmt.Errorf("mutant %q: %w", c.name, err)
		}
		all = append(all, c)
		fmt.Println(c.String())
	}
	if len(all) == 0 {
		return fmt.Errorf("no mutant has a name with %q", o.only)
	}
	if o.into != "" {
		err = os.WriteFile(o.into, []byte(table(all)), 0o644) //nolint:gosec // for people
	}
	for _, c := range all {
		if c.by == "" {
			err = errors.Join(err, fmt.Errorf("mutant %q was not caught by the suite %s", c.name, c.suite))
		}
	}
	return err
}

func (c *caught) String() string {
	where := "in the suite " + c.suite
	if c.histories > 0 {
		where = fmt.Sprintf("in history %d", c.histories)
	}
	if c.by == "" {
		return fmt.Sprintf("%-70s NOT CAUGHT", c.name)
	}
	return fmt.Sprintf("%-70s caught %s: %.160s", c.name, where, c.by)
}

func table(all []*caught) string {
	var b strings.Builder
	b.WriteString("| planted bug | file | caught by | in history |\n|---|---|---|---|\n")
	for _, c := range all {
		history, by := "-", c.suite
		if c.histories > 0 {
			history = strconv.Itoa(c.histories)
		}
		if c.by == "" {
			by = "**nothing**"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", c.name, c.file, by, history)
	}
	return b.String()
}

// hunt builds the suite with the mutant, and runs it.
func (c *caught) hunt(ctx context.Context, dir string, o *options) error {
	overlay, err := c.plant(dir)
	if err != nil {
		return err
	}
	s, binary := o.suites()[c.suite], filepath.Join(dir, "suite.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", overlay, "-o", binary, "./"+s.pack)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build it: %w\n%s", err, out)
	}
	limited, cancel := context.WithTimeout(ctx, o.each)
	defer cancel()
	suite := exec.CommandContext(limited, binary, append(s.args, "-test.timeout", "0")...)
	suite.Dir = s.pack
	var out bytes.Buffer
	suite.Stdout, suite.Stderr = &out, &out
	err = suite.Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && limited.Err() == nil:
		c.by = reason(out.String())
	}
	if c.by != "" && s.pack == "engine" {
		c.histories = countHistories(out.String(), o.seed)
	}
	return nil
}

var (
	thousands = regexp.MustCompile(`: (\d+) of \d+ histories,`)
	failedAt  = regexp.MustCompile(`failed after (\d+) tests: (.*)`)
	seedOf    = regexp.MustCompile(`: seed (\d+) \(run with [^)]*\): (.*)`)
	panics    = regexp.MustCompile(`(?m)^(panic: .*)`)
	complaint = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: (.*(?: is |differ|ledger).*)`)
)

// countHistories is the number of the history that has failed, counted from one. Crash tests have a seed for each.
func countHistories(out string, first uint64) (n int) {
	if m := seedOf.FindStringSubmatch(out); m != nil {
		seed, _ := strconv.Atoi(m[1])
		return seed - int(first) + 1
	}
	if all := thousands.FindAllStringSubmatch(out, -1); len(all) > 0 {
		n, _ = strconv.Atoi(all[len(all)-1][1])
	}
	if m := failedAt.FindStringSubmatch(out); m != nil {
		more, _ := strconv.Atoi(m[1])
		n += more
	}
	return n + 1
}

// reason is what the suite complains of.
func reason(out string) string {
	for _, find := range []*regexp.Regexp{failedAt, seedOf, panics, complaint} {
		if m := find.FindStringSubmatch(out); m != nil {
			return m[len(m)-1]
		}
	}
	return "it fails: " + out[max(len(out)-300, 0):]
}

// plant writes the changed file and what tells the compiler of it.
func (m *mutant) plant(dir string) (overlay string, err error) {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return "", fmt.Errorf("read the project, in whose folder this must run: %w", err)
	}
	broken := string(text)
	for _, e := range m.edits {
		if n := strings.Count(broken, e.old); n != 1 {
			return "", fmt.Errorf("%q stands %d times in %s, not once: bring the mutant up to date", e.old, n, m.file)
		}
		broken = strings.Replace(broken, e.old, e.now, 1)
	}
	file, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(dir, "changed.go")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(os.WriteFile(changed, []byte(broken), 0o600), os.WriteFile(overlay, replace, 0o600))
}
