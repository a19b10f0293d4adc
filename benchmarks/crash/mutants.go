package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is a planted bug: the harness must notice it, or it proves nothing.
type mutant struct {
	name     string
	file     string // of the project
	edits    []edit
	scenario string // that catches it
	tries    int    // seeds that it may take
	also     string // other scenarios that catch it, too, with commas
}

// scenarios are all that catch it.
func (m *mutant) scenarios() []string {
	if m.also == "" {
		return []string{m.scenario}
	}
	return append([]string{m.scenario}, strings.Split(m.also, ",")...)
}

// edit replaces a text that stands in the file once.
type edit struct{ old, now string }

// mutants breaks one rule each.
func mutants() []mutant {
	return slices.Concat(otherMutants(), commitMutants(), refusalMutants(), storeMutants())
}

// commitMutants are about the steps of the commit.
func commitMutants() []mutant {
	const commit = "engine/commit.go"
	return []mutant{
		{
			name: "reveal before claim", file: commit, scenario: "worker-crash", tries: 2,
			edits: []edit{{
				"\tif err := c.claim(ctx, next); err != nil {\n\t\treturn err\n\t}\n",
				"\tc.left = rec.Staged\n\tc.reveal(ctx)\n\tif err := c.claim(ctx, next); err != nil {\n\t\treturn err\n\t}\n",
			}},
		},
		{
			name: "fence removed: owner, epoch and timeline are not compared", file: "sinks/postgres/claim.go", scenario: "stale-owner", tries: 4,
			edits: []edit{
				{"    WHERE t.epoch = c.epoch - 1 AND t.owner = c.owner AND t.timeline = c.timeline\n      AND t.timeline = (SELECT tidewatch_timeline())\n", ""},
				{"    WHERE t.task = l.task AND t.epoch = l.epoch - 1 AND t.owner = l.owner AND t.timeline = l.timeline\n", "    WHERE t.task = l.task\n"},
			},
		},
		{
			name: "flush skipped: partials are claimed before they are acknowledged", file: "engine/rekey/sink.go", scenario: "slow-servers", tries: 6,
			edits: []edit{{"\t\tif err := s.w.Flush(ctx); err != nil {\n\t\t\treturn nil, err\n\t\t}\n", ""}},
		},
		{
			name: "what was staged is forgotten when its reveal fails", file: commit, scenario: "calls-fail", tries: 4, also: "network-faults",
			edits: []edit{{"rec.Staged = slices.Concat(c.left, staged)", "rec.Staged = staged"}},
		},
		{
			name: "no reveal after a take-over", file: "engine/takeover.go", scenario: "crash-between-steps", tries: 6,
			edits: []edit{{"left: rec.Staged, sinks:", "left: nil, sinks:"}},
		},
		{
			name: "control record before its claim", file: "engine/task.go", scenario: "idle-partition", tries: 4,
			edits: []edit{
				{"\t\treturn t.controlEpoch(ctx, tick)\n", "\t\tif err := t.lane.control(ctx, tick); err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn t.controlEpoch(ctx, tick)\n"},
				{"\t\t\tif err := t.lane.control(ctx, o.claimed.control); err != nil {\n\t\t\t\treturn err\n\t\t\t}\n", ""},
			},
		},
	}
}

// otherMutants are about event time, and about what is decided of it.
func otherMutants() []mutant {
	return []mutant{
		{
			name: "mark per batch", file: "engine/marks.go", scenario: "worker-crash", tries: 3,
			also:  "crash-in-takeover,rebalance,partitions-grow,undecodable-record,hot-key,dependency-away",
			edits: []edit{{"\t\tif mark = m.record(); mark >= until || !known {\n\t\t\treturn i + 1\n\t\t}\n", "\t\t_, _ = known, until\n"}},
		},
		{
			name: "decisions in arrival order", file: "operators/window/merge.go", scenario: "worker-crash", tries: 2,
			edits: []edit{{"entryKey(cells[i], uint32(from[r]), after[r] != 0)", "entryKey(cells[i], uint32(from[r]), after[r] < 0)"}},
		},
		{
			name: "one record may move the watermark by any jump", file: "engine/marks.go", scenario: "future-timestamp", tries: 2,
			edits: []edit{{"t.Sub(m.front) <= m.maxJump {\n\t\tm.front = t", "t.Sub(m.front) <= 1000*m.maxJump {\n\t\tm.front = t"}},
		},
		{
			name: "an emptied Redis is not filled again", file: "cmd/tidewatch/refill.go", scenario: "redis-emptied", tries: 2,
			edits: []edit{{"\tcase len(missing) > 0:\n\t\treturn missing, ", "\tcase len(missing) > 1<<30:\n\t\treturn missing, "}},
		},
	}
}

// refusalMutants are about records, rows and groups that are not taken, and about what was lost.
func refusalMutants() []mutant {
	return []mutant{
		{
			name: "who replays does not know what was quarantined", file: "engine/quarantine.go", scenario: "panicking-record", tries: 1,
			edits: []edit{{"{claimedControls(rec), t.lost}", "{t.lost}"}},
		},
		{
			name: "what was in work when a process died is forgotten", file: "engine/journal.go", scenario: "killing-record", tries: 1,
			edits: []edit{{"\t\te.Regions = append(e.Regions, w)\n\t\treturn\n", "\t\treturn\n"}},
		},
		{
			name: "nobody looks whether keys have moved", file: "engine/keyed.go", scenario: "keyed-topic-grows", tries: 1,
			edits: []edit{{"sharedKey(t.saved.sights, places); ok {", "sharedKey(t.saved.sights, places); ok && len(places) > 1<<30 {"}},
		},
		{
			name: "a topic that was created again is read on", file: "engine/takeover.go", scenario: "topic-recreated", tries: 1,
			edits: []edit{{"if err != nil || len(rows) == 0 {", "if err != nil || len(rows) >= 0 {"}},
		},
		{
			name: "a version ends before the next one begins", file: "engine/succession.go", scenario: "new-version", tries: 1,
			edits: []edit{{"Kind: controlUntil, At: at, Cut: cut}", "Kind: controlUntil, At: at, Cut: cut.Add(-10 * time.Second)}"}},
		},
		{
			name: "garbage is deleted at once, though a fail-over may need it", file: "engine/collector.go", scenario: "postgres-failover", tries: 3,
			edits: []edit{
				{"after := c.clock.Now().Add(c.retention)", "after := c.clock.Now()"},
				{"c.clock.After(max(c.retention/60, time.Second))", "c.clock.After(50 * time.Millisecond)"},
			},
		},
		{
			name: "a refused row is parked without a letter", file: "engine/park.go", scenario: "refused-row", tries: 1,
			edits: []edit{{"[]stream.Rejected{letter}", "[]stream.Rejected{letter}[1:]"}},
		},
		{
			name: "which groups find room depends on borders of batches", file: "operators/window/limit.go", scenario: "state-budget", tries: 1,
			edits: []edit{{"p.cells.Len()+len(f.admitted.rows) > f.most", "p.cells.Len() > f.most"}},
		},
		{
			name: "deleted records are passed over", file: "sources/kafka/source.go", scenario: "offsets-truncated", tries: 1,
			edits: []edit{{
				"\tif offset < start || offset > end {\n\t\treturn nil, explainRange(p, offset, start, end)\n\t}\n",
				"\tif offset < start || offset > end {\n\t\toffset = start\n\t}\n",
			}},
		},
	}
}

// storeMutants are about what the stores and their answers mean.
func storeMutants() []mutant {
	return []mutant{
		{
			name: "no frontier after a fail-over: lost control records are not looked for", file: "engine/failover.go", scenario: "failover-when-idle", tries: 3,
			edits: []edit{{"rec.Timeline, rec.Frontier = cp.Timeline, &stream.Version{Offset: end}", "rec.Timeline, end = cp.Timeline, end+1"}},
		},
		{
			name: "watch without a comparison of epochs", file: "engine/watch.go", scenario: "failover-at-the-end", tries: 3,
			edits: []edit{{" || r.Epoch < own[i].Epoch {", " {"}},
		},
		{
			name: "a claim without an answer counts as won", file: "engine/commit.go", scenario: "claim-reply-lost", tries: 3,
			edits: []edit{{
				"\t\twon, err = c.t.deps.claims.claim(ctx, next)\n\t\treturn err\n",
				"\t\tif won, err = c.t.deps.claims.claim(ctx, next); err != nil {\n\t\t\twon = true\n\t\t}\n\t\treturn nil\n",
			}},
		},
		{
			name: "a snapshot does not wait for live outputs", file: "engine/commit.go", scenario: "dependency-away", tries: 4,
			edits: []edit{{"acknowledged, c.behind[w.sink] = false, true", "acknowledged, c.behind[w.sink] = true, true"}},
		},
	}
}

// caught is how a mutant fared, as it stands in the log.
type caught struct {
	Mutant   string `json:"mutant"`
	Scenario string `json:"scenario"`
	Commit   string `json:"commit"`
	Runs     int    `json:"runs"`
	By       string `json:"by,omitempty"` // what the harness said; "" if nothing
}

// mutate builds each mutant from a copy of the project, and plays its scenario until it is caught.
func (l *lab) mutate(ctx context.Context, o *options, log *history[caught]) error {
	tree := filepath.Join(l.dir, "tree")
	if err := copyProject(ctx, tree); err != nil {
		return err
	}
	l.hunting = true
	var missed []error
	for _, m := range mutants() {
		for _, scenario := range m.scenarios() {
			if o.leavesOut(&m, scenario, log) {
				continue
			}
			c := &caught{Mutant: m.name, Scenario: scenario, Commit: o.commit}
			if err := l.hunt(ctx, tree, &m, c, o.seed); err != nil {
				return fmt.Errorf("mutant %q: %w", m.name, err)
			}
			fmt.Printf("%-50s %-20s runs=%d caught: %s\n", m.name, scenario, c.Runs, clipped(c.By, 300))
			if err := errors.Join(log.add(*c), o.write(mutantsPart, func() string { return mutantsTable(log) })); err != nil {
				return err
			}
			if c.By == "" {
				missed = append(missed, fmt.Errorf("mutant %q was not caught by %s in %d runs", m.name, scenario, c.Runs))
			}
		}
	}
	return errors.Join(missed...)
}

// leavesOut tells what is not asked for.
func (o *options) leavesOut(m *mutant, scenario string, log *history[caught]) bool {
	known := newest(log)[m.name+" in "+scenario]
	return !strings.Contains(m.name, o.mutant) || o.missing && known != nil && known.By != "" ||
		o.only != "" && !slices.Contains(strings.Split(o.only, ","), scenario)
}

// hunt plays until the mutant is caught or its tries are over.
func (l *lab) hunt(ctx context.Context, tree string, m *mutant, c *caught, seed uint64) error {
	restore, err := m.plant(tree)
	if err != nil {
		return err
	}
	defer restore()
	binary := filepath.Join(l.dir, "mutant")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "faults", "-o", binary, "./cmd/tidewatch")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build it: %w\n%s", err, out)
	}
	product := l.binary
	l.binary = binary
	defer func() { l.binary = product }()
	chosen, err := choose(c.Scenario)
	if err != nil {
		return err
	}
	for c.Runs < m.tries && c.By == "" {
		out, err := l.once(ctx, &chosen[0], seed+uint64(c.Runs))
		if err != nil {
			return err
		}
		c.Runs++
		c.By, _, _ = strings.Cut(strings.TrimPrefix(out.Failed, "not equal:\n"), "\n")
	}
	return nil
}

// plant edits the copy; restore takes it back.
func (m *mutant) plant(tree string) (restore func(), err error) {
	file := filepath.Join(tree, m.file)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	broken := string(text)
	for _, e := range m.edits {
		if n := strings.Count(broken, e.old); n != 1 {
			return nil, fmt.Errorf("%q stands %d times in %s, not once: bring the mutant up to date", e.old, n, m.file)
		}
		broken = strings.Replace(broken, e.old, e.now, 1)
	}
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		return nil, err
	}
	return func() { _ = os.WriteFile(file, text, 0o600) }, nil // the copy is thrown away in the end
}

// copyProject copies what git knows of the project in the present folder, as it is.
func copyProject(ctx context.Context, to string) error {
	out, err := exec.CommandContext(ctx, "git", "ls-files", "-z").Output()
	if err != nil {
		return fmt.Errorf("list the project's files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		file := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
