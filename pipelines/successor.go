package pipelines

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/stream"
)

// Successor is how a new version of a pipeline follows the one that runs.
type Successor struct {
	// Every is the distance of the times that windows of both versions begin at; the cut between them is one of those.
	Every time.Duration
	// Done is how far the records of the old version must have come past the cut for all its windows to be final.
	Done    time.Duration
	Inherit []engine.Heirloom
	// Fresh names the steps that remember something and begin without it, because they or what comes before them changed.
	Fresh []string
}

// longestGrid bounds Every: where the windows of two versions do not meet sooner, the cut is at the start of one of the new
// version's.
const longestGrid = 24 * time.Hour

// Follow compares two versions of a pipeline. The error says why one cannot follow the other while it runs.
func Follow(old, next *Spec, c *Components) (*Successor, error) {
	o, problems := lay(old, c)
	if len(problems) == 0 {
		var n *layout
		if n, problems = lay(next, c); len(problems) == 0 {
			return follow(o, n)
		}
	}
	return nil, problems.err()
}

func follow(old, next *layout) (*Successor, error) {
	name, topics := next.spec.Name.Value, values(old.spec.Source.Topics)
	switch {
	case old.spec.Name.Value != name:
		return nil, fmt.Errorf("pipeline %s cannot follow pipeline %s: it has another name", name, old.spec.Name)
	case !old.own() || !next.own():
		return nil, fmt.Errorf("pipeline %s only asks for the archive of its topics, or did so before: restart the workers with the changed file", name)
	case !slices.Equal(slices.Sorted(slices.Values(topics)), slices.Sorted(slices.Values(values(next.spec.Source.Topics)))):
		return nil, fmt.Errorf("pipeline %s reads other topics than the version that runs (%v): give it another name, and remove the old one when it is not needed", name, topics)
	case next.archive && !old.archive:
		return nil, fmt.Errorf("pipeline %s asks for the archive of its topics, which the version that runs does not: restart the workers with the changed file", name)
	}
	s := &Successor{Every: gridOf(old, next)}
	if old.window >= 0 {
		w := old.windowConfig()
		s.Done = w.Size + w.Lateness
	}
	for i := range next.steps {
		step := &next.steps[i]
		if step.Kind == FilterStep || step.Kind == ProjectStep || step.Kind == WindowStep {
			continue
		}
		if j := heirOf(old, next, i); j >= 0 {
			stage, _ := next.place(i)
			_, from := old.place(j)
			s.Inherit = append(s.Inherit, engine.Heirloom{Stage: stage, Step: step.Name.Value, From: from, FromStep: old.steps[j].Name.Value})
		} else {
			s.Fresh = append(s.Fresh, step.Name.Value)
		}
	}
	return s, nil
}

// gridOf is the least common multiple of the distances of the windows.
func gridOf(old, next *layout) time.Duration {
	every := func(l *layout) time.Duration {
		if l.window < 0 {
			return time.Second
		}
		return l.windowConfig().Every
	}
	a, b := every(old), every(next)
	x, y := int64(a), int64(b)
	for y != 0 {
		x, y = y, x%y
	}
	if times := int64(b) / x; times <= int64(longestGrid/a) {
		return time.Duration(int64(a) * times)
	}
	return b
}

// place is the stage of a step, and its index there.
func (l *layout) place(i int) (stage string, index int) {
	switch {
	case !l.rekeyed():
		return mainStage, i
	case i > l.window:
		return mergeStage, i - l.window
	}
	return foldStage, i
}

// heirOf is the step of the old version whose state means the same as that of step i, -1 if there is none. Tasks must be
// cut alike; a deduplication must see the same events, and what stands behind a window the same windows. A rule may be
// changed: it goes on with the alerts of the rule that has its name.
func heirOf(old, next *layout, i int) int {
	if old.rekeyed() != next.rekeyed() || !equalSources(old, next) {
		return -1
	}
	step := &next.steps[i]
	if step.Kind == DedupeStep {
		if i < len(old.steps) && equalSteps(old, next, i+1) {
			return i
		}
		return -1
	}
	if old.window < 0 || next.window < 0 || !slices.Equal(old.windowConfig().By, next.windowConfig().By) ||
		old.windowConfig().Size != next.windowConfig().Size || old.windowConfig().Every != next.windowConfig().Every {
		return -1
	}
	if step.Kind == AlertStep {
		return slices.IndexFunc(old.steps, func(s laidStep) bool { return s.Kind == AlertStep && s.Alert.Name.Value == step.Alert.Name.Value })
	}
	if i < len(old.steps) && equalSteps(old, next, i+1) {
		return i
	}
	return -1
}

func equalSources(old, next *layout) bool {
	return formatOf(old.spec) == formatOf(next.spec) && old.def.String() == next.def.String() &&
		slices.Equal(values(old.spec.Source.KeyedBy), values(next.spec.Source.KeyedBy))
}

// equalSteps reports whether the first n steps mean the same, rules aside.
func equalSteps(old, next *layout, n int) bool {
	meaning := func(l *layout) string {
		var steps []canonicalStep
		for i := range l.steps[:min(n, len(l.steps))] {
			if s := &l.steps[i]; s.Kind != AlertStep {
				steps = append(steps, l.canonicalStep(s))
			}
		}
		text, err := json.Marshal(steps)
		if err != nil {
			panic(fmt.Sprintf("compare steps of %s: %v", l.spec.Name, err))
		}
		return string(text)
	}
	return meaning(old) == meaning(next)
}

// After is the spec as the version of the pipeline that follows old at the cut; old is nil, and since NoTime, for the first
// version. take counts how often the same text has run, this time included: going back to an earlier version is a new
// instance, whose name says so. The first take is 1.
func (s *Spec) After(old *Spec, since stream.Time, take int) *Spec {
	next := *s
	next.before, next.since, next.take = old, since, take
	return &next
}

// Text is the text of the file that the spec is from.
func (s *Spec) Text() string { return strings.Join(s.src.lines, "\n") }

// following tells a sink that writes to Redis what the version before has written.
func (b *builder) following(c *SinkConfig) error {
	c.Since = b.l.spec.since
	if b.l.spec.before == nil || c.Kind != RedisSink {
		return nil
	}
	l, problems := lay(b.l.spec.before, b.c)
	if len(problems) > 0 {
		return problems.err()
	}
	old := newBuilder(l, b.c)
	if err := old.columns(); err != nil {
		return err
	}
	for _, o := range l.outputs {
		if o.sink.Kind != RedisSink || o.of.Value != c.Output {
			continue
		}
		before := old.sinkConfig(o)
		if err := old.following(&before); err != nil {
			return err
		}
		c.Before = &before
	}
	return nil
}

// InstanceOf is the name of the version of the pipeline; all versions of one that only asks for the archive have the same.
func InstanceOf(s *Spec, c *Components) (string, error) {
	l, problems := lay(s, c)
	if len(problems) > 0 {
		return "", problems.err()
	}
	if !l.own() {
		return s.Name.Value + "@archive", nil
	}
	return l.instance(), nil
}
