package pipelines

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// semantics is raised when the engine or an operator begins to mean something else by the same file. A new number makes
// every pipeline a new instance.
const semantics = 1

// hashDigits is how much of a hash is part of an instance's name.
const hashDigits = 12

// canonical is what a pipeline means, without places, formatting, cases and texts about it. What is only how often
// something is written is left out too, so that it may be changed without a new instance. Its JSON is hashed: a field must
// never be reordered or renamed, new ones need omitempty.
type canonical struct {
	Semantics int             `json:"semantics"`
	Pipeline  string          `json:"pipeline"`
	Topics    []string        `json:"topics"`
	Format    string          `json:"format"`
	Schemas   []string        `json:"schemas"`
	KeyedBy   []string        `json:"keyed_by,omitempty"`
	Time      [4]int64        `json:"time"` // ns: out of order, lateness, jump, idle
	Steps     []canonicalStep `json:"steps,omitempty"`
	Sinks     []canonicalSink `json:"sinks,omitempty"`
}

type canonicalStep struct {
	Kind    StepKind        `json:"kind"`
	Name    string          `json:"name"`
	Filter  string          `json:"filter,omitempty"`
	Columns []Column        `json:"columns,omitempty"`
	By      []string        `json:"by,omitempty"`
	Size    int64           `json:"size,omitempty"`  // ns
	Every   int64           `json:"every,omitempty"` // ns, where windows overlap
	Most    int64           `json:"max_groups,omitempty"`
	Within  int64           `json:"within,omitempty"`
	Learn   int64           `json:"learn,omitempty"`
	Forget  int64           `json:"forget,omitempty"`
	Rule    *canonicalAlert `json:"rule,omitempty"`
}

type canonicalAlert struct {
	Name     string   `json:"name"`
	When     string   `json:"when"`
	For      int64    `json:"for"`
	Keep     int64    `json:"keep_firing_for"`
	Severity string   `json:"severity"`
	Labels   []Column `json:"labels,omitempty"`
	Summary  string   `json:"summary,omitempty"`
}

type canonicalSink struct {
	Kind  SinkKind `json:"kind"`
	Of    string   `json:"of"`
	Keep  int64    `json:"keep,omitempty"`
	Topic string   `json:"topic,omitempty"`

	Transaction bool `json:"transaction,omitempty"`
}

// instance is NAME@HASH: the name of this version of the pipeline.
func (l *layout) instance() string {
	s := l.spec
	c := canonical{
		Semantics: semantics, Pipeline: s.Name.Value, Topics: values(s.Source.Topics), Format: formatOf(s),
		Schemas: []string{l.def.String()}, KeyedBy: values(s.Source.KeyedBy),
	}
	t := l.time()
	for i, d := range []time.Duration{t.OutOfOrder, t.Lateness, t.MaxJump, t.IdleAfter} {
		c.Time[i] = int64(d)
	}
	for i := range l.steps {
		c.Steps = append(c.Steps, l.canonicalStep(&l.steps[i]))
	}
	for _, o := range l.outputs {
		c.Sinks = append(c.Sinks, canonicalSink{o.sink.Kind, o.of.Value, int64(l.keep(o.sink)), l.topicOf(o), o.sink.Transaction.Value})
	}
	name := instanceOf(s.Name.Value, c)
	if s.take > 1 {
		name += fmt.Sprint("-", s.take)
	}
	return name
}

func instanceOf(name string, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("hash pipeline %s: %v", name, err))
	}
	sum := sha256.Sum256(text)
	return name + "@" + hex.EncodeToString(sum[:])[:hashDigits]
}

func (l *layout) canonicalStep(s *laidStep) canonicalStep {
	c := canonicalStep{Kind: s.Kind, Name: s.Name.Value, Filter: s.Filter.Value}
	switch s.Kind {
	case FilterStep:
	case ProjectStep:
		c.Columns = columnsOf(s.Project)
	case WindowStep:
		c.By, c.Size, c.Columns = values(s.Window.By), int64(s.Window.Size()), columnsOf(s.Window.Aggregates)
		c.Most = s.Window.MaxGroups.Value
		if s.Window.Hopping.IsSet() {
			c.Every = int64(s.Window.Step())
		}
	case DedupeStep:
		c.By, c.Size = values(s.Dedupe.By), int64(s.Dedupe.Within.Duration)
	case FirstStep:
		c.By = values(s.First.Of)
		c.Within, c.Learn = int64(s.First.Within.Duration), int64(s.First.Learn.Duration)
	case AbsenceStep:
		c.Forget = int64(s.Absence.Forget.Duration)
	case AlertStep:
		r := l.rule(s.Alert, "")
		c.Rule = &canonicalAlert{r.Name, r.When, int64(r.For), int64(r.KeepFiringFor), r.Severity, r.Labels, r.Summary}
	}
	return c
}

func formatOf(s *Spec) string {
	if s.Source.Format.Value == "" {
		return "auto"
	}
	return s.Source.Format.Value
}
