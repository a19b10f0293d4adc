package main

import "slices"

// mutant is a planted bug. One of the suites must notice it, or they prove nothing.
type mutant struct {
	name  string
	file  string // of the project
	edits []edit
	suite string // that catches it
}

// edit replaces a text that stands in the file once.
type edit struct{ old, now string }

// mutants breaks one rule each.
func mutants() []mutant {
	return slices.Concat(commitMutants(), controlMutants(), stateMutants(), timeMutants())
}

// commitMutants are about the steps of the commit.
func commitMutants() []mutant {
	const commit = "engine/commit.go"
	return []mutant{
		{
			name: "reveal before claim", file: commit, suite: metamorphic,
			edits: []edit{{
				"\tif err := c.claim(ctx, next); err != nil {\n\t\treturn err\n\t}\n",
				"\tc.left = rec.Staged\n\tc.reveal(ctx)\n\tif err := c.claim(ctx, next); err != nil {\n\t\treturn err\n\t}\n",
			}},
		},
		{
			name: "a lost claim counts as won", file: commit, suite: metamorphic,
			edits: []edit{{"\tcase !won:\n\t\treturn errLost\n", "\tcase !won:\n\t\treturn nil\n"}},
		},
		{
			name: "what was staged is forgotten when its reveal fails", file: commit, suite: metamorphic,
			edits: []edit{{"rec.Staged = slices.Concat(c.left, staged)", "rec.Staged = staged"}},
		},
		{
			name: "no reveal after a take-over", file: "engine/takeover.go", suite: metamorphic,
			edits: []edit{{"left: rec.Staged, sinks:", "left: nil, sinks:"}},
		},
		{
			name: "a replay decides", file: "engine/takeover.go", suite: metamorphic,
			edits: []edit{{"\tl.chain.muted = true\n", ""}},
		},
		{
			name: "snapshot without flushing staged rows: it does not wait until live values are acknowledged", file: commit, suite: crashes,
			edits: []edit{{"if e.state == nil || !acknowledged {", "if e.state == nil || acknowledged && false {"}},
		},
		{
			name: "snapshot of values that were not shown yet", file: "engine/task.go", suite: crashes,
			edits: []edit{{
				"\t\t// What the snapshot holds as shown must have been shown: a restored operator shows only what changes later.\n\t\tif err := t.lane.chain.publish(ctx, t.lane.at); err != nil {\n\t\t\treturn err\n\t\t}\n", "",
			}},
		},
		{
			name: "snapshot without the rows that wait in sinks", file: "engine/chain.go", suite: determinism,
			edits: []edit{{"\t\t\tw.Scope(\"output/\" + o.Name + \"/\")\n\t\t\tif err := sink.Snapshot(w); err != nil {", "\t\t\tw.Scope(\"output/\" + o.Name + \"/\")\n\t\t\tif err := sink.Snapshot(stream.NewStateWriter()); err != nil {"}},
		},
	}
}

// controlMutants are about control records, fail-overs and quarantine.
func controlMutants() []mutant {
	const failover = "engine/failover.go"
	return []mutant{
		{
			name: "control record before its claim", file: "engine/task.go", suite: metamorphic,
			edits: []edit{
				{"\t\treturn t.controlEpoch(ctx, tick)\n", "\t\tif err := t.lane.control(ctx, tick); err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn t.controlEpoch(ctx, tick)\n"},
				{"\t\t\tif err := t.lane.control(ctx, o.claimed.control); err != nil {\n\t\t\t\treturn err\n\t\t\t}\n", ""},
			},
		},
		{
			name: "the frontier is cleared too early", file: "engine/commit.go", suite: failOvers,
			edits: []edit{{"\tif e.passed {\n\t\trec.Frontier = nil\n\t}\n", "\trec.Frontier = nil\n"}},
		},
		{
			name: "no frontier", file: failover, suite: failOvers,
			edits: []edit{{"return len(t.lost) == 0 && t.lane.at.Compare(t.frontier) >= 0", "return len(t.lost) == 0"}},
		},
		{
			name: "lost control records are not claimed again", file: failover, suite: metamorphic,
			edits: []edit{{"\t\tt.lost, err = t.copiesAhead(ctx, rec)\n", "\t\t_, err = t.copiesAhead(ctx, rec)\n"}},
		},
		{
			name: "control records are copied by the committer only: keep() after a take-over is missing", file: "engine/takeover.go", suite: failOvers,
			edits: []edit{{"\tif err := t.keep(ctx, k); err != nil {\n\t\treturn err\n\t}\n", ""}},
		},
		{
			name: "a quarantined record is forgotten in a snapshot", file: "engine/quarantine.go", suite: snapshots,
			edits: []edit{{"if k == nil || k.At.Step == 0 || k.At.Step > l.at.Step {", "if k == nil || k.At.Step >= 0 {"}},
		},
		{
			name: "quarantine raises no generation", file: "engine/commit.go", suite: metamorphic,
			edits: []edit{{"\t\trec.Generation++\n", ""}},
		},
		{
			name: "partials that counted a quarantined record stay", file: "operators/window/raises.go", suite: metamorphic,
			edits: []edit{{"return source == r.source && v.Offset > r.at.Offset && v.Step < r.at.Step", "return false"}},
		},
		{
			name: "idle ticks are not archived", file: "cmd/tidewatch/controls.go", suite: determinism,
			edits: []edit{{"!c.topics[t.Task.Partition.Topic]", "c.topics[t.Task.Partition.Topic]"}},
		},
		{
			name: "the cut is not above all marks", file: "engine/succession.go", suite: metamorphic,
			edits: []edit{{"above := highest.Add(ahead) + 1\n", "above := highest.Add(-s.Every) + 1\n"}},
		},
	}
}

// stateMutants are about what is restored.
func stateMutants() []mutant {
	return []mutant{
		{
			name: "dedupe is restored empty", file: "operators/dedupe/state.go", suite: metamorphic,
			edits: []edit{{"\t\td.generations = append(d.generations, g)\n", "\t\t_ = g\n"}},
		},
		{
			name: "windows are off by one on the grid after a restart", file: "operators/window/state.go", suite: metamorphic,
			edits: []edit{{"\tat := stream.Time(r.Int())\n\tend, until", "\tat := stream.Time(r.Int()) + stream.Time(l.size)\n\tend, until"}},
		},
		{
			name: "the operators' progress is off by one point of the grid after a restart", file: "engine/lane.go", suite: metamorphic,
			edits: []edit{{"\tl.mark, l.record = l.marker.Marks()\n\treturn l.chain.restore(r)\n", "\tl.mark, l.record = l.marker.Marks()\n\tl.mark = l.grids.Next(l.mark)\n\treturn l.chain.restore(r)\n"}},
		},
		{
			name: "the hashes of a snapshot's blocks are not checked", file: "engine/slices.go", suite: metamorphic,
			edits: []edit{{" || sha256.Sum256(object[b.offset:][:b.length]) != b.hash)", ")"}},
		},
		{
			name: "a damaged snapshot is fatal", file: "engine/snapshot.go", suite: metamorphic,
			edits: []edit{{"if !errors.Is(err, errDamaged) || rec.Previous == nil {", "if err == nil || rec.Previous != nil {"}},
		},
		{
			name: "the snapshot before the newest is collected", file: "engine/commit.go", suite: metamorphic,
			edits: []edit{{"\tif r.Previous != nil {\n\t\tadd(r.Previous.Slices)\n\t}\n", ""}},
		},
		{
			name: "the marks' witnesses are not state", file: "engine/marks.go", suite: metamorphic,
			edits: []edit{{"m.times[i], m.producers[i] = stream.Time(r.Int()), r.Uint()", "m.times[i], m.producers[i] = 0*stream.Time(r.Int()), r.Uint()"}},
		},
	}
}

// timeMutants are about event time, and what is decided of it.
func timeMutants() []mutant {
	return []mutant{
		{
			name: "mark per batch", file: "engine/marks.go", suite: metamorphic,
			edits: []edit{{"\t\tif mark = m.record(); mark >= until || !known {\n\t\t\treturn i + 1\n\t\t}\n", "\t\t_, _ = known, until\n"}},
		},
		{
			name: "decisions in arrival order", file: "operators/window/merge.go", suite: metamorphic,
			edits: []edit{{"entryKey(cells[i], uint32(from[r]), after[r] != 0)", "entryKey(cells[i], uint32(from[r]), after[r] < 0)"}},
		},
		{
			name: "late records are counted twice", file: "operators/window/cells.go", suite: metamorphic,
			edits: []edit{{"out.Count(stream.BucketLate, int64(f.late.Len()))", "out.Count(stream.BucketLate, 2*int64(f.late.Len()))"}},
		},
		{
			name: "quarantined records are counted as rejected", file: "engine/quarantine.go", suite: ledgers,
			edits: []edit{{"\t\tquarantined++\n", ""}},
		},
		{
			name: "one record may move the watermark by any jump", file: "engine/marks.go", suite: metamorphic,
			edits: []edit{{"t.Sub(m.front) <= m.maxJump {\n\t\tm.front = t", "t.Sub(m.front) <= 1000*m.maxJump {\n\t\tm.front = t"}},
		},
		{
			name: "idle ticks make records late", file: "engine/marks.go", suite: metamorphic,
			edits: []edit{{"return max(m.front.Add(-m.outOfOrder), m.tick.Add(-m.grace))", "return max(m.front.Add(-m.outOfOrder), m.tick)"}},
		},
	}
}
