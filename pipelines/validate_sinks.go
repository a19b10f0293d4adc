package pipelines

import (
	"slices"
	"strings"
)

// outputs resolves what the sinks take.
func (k *checker) outputs() {
	type key struct {
		kind SinkKind
		of   string
	}
	seen := map[key]bool{}
	topics := map[string]Text{}
	for i := range k.s.Sinks {
		sink := &k.s.Sinks[i]
		k.sinkSettings(sink)
		if t := sink.Topic; t.IsSet() {
			// Rows of a task are told apart by where they leave, not by their step.
			if first, ok := topics[t.Value]; ok {
				k.complain(t, "the kafka sink in line %d writes to `%s` already: readers could not tell the rows apart", first.At.Line, t)
			} else {
				topics[t.Value] = t
			}
		}
		for _, of := range sink.Of {
			if seen[key{sink.Kind, of.Value}] {
				k.complain(of, "the rows of `%s` go to %s already", of, sink.Kind)
				continue
			}
			seen[key{sink.Kind, of.Value}] = true
			k.output(sink, of)
		}
	}
}

func (k *checker) output(sink *Sink, of Text) {
	step, late, ok := k.l.stepIndex(of.Value)
	if !ok {
		k.complain(of, "there is no step `%s`%s", of, suggestion(of.Value, k.stepsFor(sink.Kind)))
		return
	}
	if problem := k.fits(sink.Kind, step, late); problem != "" {
		k.complain(of, "%s", problem)
		return
	}
	if sink.Kind == ParquetSink && step < 0 {
		k.l.archive = true
		return
	}
	k.l.outputs = append(k.l.outputs, laidOutput{sink, of, step, late})
}

// fits tells why a sink cannot take the rows of a step, "" if it can.
func (k *checker) fits(kind SinkKind, step int, late bool) string {
	stepKind := StepKind(sourceStep)
	if step >= 0 {
		stepKind = k.l.steps[step].Kind
	}
	windowed := stepKind == WindowStep && !late
	switch {
	case late && stepKind != WindowStep:
		return "only a window refuses late events"
	case stepKind == AlertStep:
		return "alerts are kept in Postgres without being asked for"
	case kind == RedisSink && windowed && k.l.first() >= 0:
		return "redis finds a group by all of its fields, but `first_seen` keeps those together that differ in `of`: leave redis out, or write " +
			"a pipeline without `first_seen` beside this one"
	case kind == RedisSink && !windowed:
		return "redis holds rollups: name the window" + k.windowHint()
	case kind == ParquetSink && !windowed && step >= 0:
		return "parquet holds the source and rollups: name `source` or the window" + k.windowHint()
	}
	return ""
}

func (k *checker) windowHint() string {
	if k.l.window < 0 {
		return ""
	}
	return ", `" + k.l.steps[k.l.window].Name.Value + "`"
}

// stepsFor lists what a sink may take.
func (k *checker) stepsFor(kind SinkKind) (names []string) {
	if k.fits(kind, -1, false) == "" {
		names = append(names, sourceStep)
	}
	for i, s := range k.l.steps {
		if k.fits(kind, i, false) == "" {
			names = append(names, s.Name.Value)
		}
		if k.fits(kind, i, true) == "" {
			names = append(names, s.Name.Value+lateSuffix)
		}
	}
	return names
}

func (k *checker) sinkSettings(sink *Sink) {
	if keep := sink.Keep; keep.IsSet() && k.l.window >= 0 && k.l.steps[k.l.window].Window.length().IsSet() {
		w := k.l.steps[k.l.window].Window
		least := w.Size() + k.s.Time.AllowedLateness.or(DefaultAllowedLateness) + k.s.Time.OutOfOrder.or(DefaultOutOfOrder)
		if keep.Duration < least {
			k.report(keep.At, 1, "`keep` is shorter than a window is open (%s): rows would go before they are final", formatDuration(least))
		}
	}
	t := sink.Topic
	if !t.IsSet() {
		return
	}
	switch {
	case !topicName.MatchString(t.Value):
		k.complain(t, "`%s` is no name of a topic", t)
	case slices.Contains(values(k.s.Source.Topics), t.Value):
		k.complain(t, "the pipeline reads `%s`: it would never end", t)
	case strings.HasPrefix(t.Value, "tidewatch."):
		k.complain(t, "topics with `tidewatch.` are named by tidewatch: leave `topic` out for tidewatch.%s.%s", k.s.Name, firstOf(sink.Of))
	case len(sink.Of) > 1:
		k.complain(t, "several steps would share the topic: write a kafka sink for each")
	}
}

func firstOf(list []Text) string {
	if len(list) == 0 {
		return "STEP"
	}
	return list[0].Value
}

// outcome refuses a pipeline from which nothing comes.
func (k *checker) outcome() {
	at := k.s.Name.At
	if len(k.problems) > 0 || at.Line == 0 {
		return // what was wrong may be the reason
	}
	switch {
	case !k.l.own() && !k.l.archive:
		k.report(at, k.s.Name.width(), "nothing comes out of the pipeline: add `sinks`, or an alert")
	case !k.l.own() && len(k.s.Steps) > 0:
		k.report(k.s.Steps[0].At, 1, "nothing comes out of the steps: only the source is archived")
	}
}

// archiveProblems finds pipelines that want the same topic archived in different ways.
func archiveProblems(specs []*Spec, c *Components) (problems Problems) {
	first := map[string]archiveOf{}
	for _, s := range specs {
		for _, a := range archivesOf(s, c) {
			other, ok := first[a.topic]
			if !ok {
				first[a.topic] = a
				continue
			}
			if other.def != a.def || other.format != a.format {
				problems = append(problems, s.src.problem(a.at, len(a.topic), "`"+a.topic+"` is archived as "+a.def.String()+
					" ("+a.format+") here, and as "+other.def.String()+" ("+other.format+") in "+other.file+": a topic has one archive"))
			}
		}
	}
	return problems
}
