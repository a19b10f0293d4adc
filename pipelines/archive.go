package pipelines

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/stream"
)

// Where a part of the raw archive ends.
const (
	cutRecords = 1_000_000
	cutBytes   = 128 << 20
	// CutSlot is the slot of the broker's time into which a file of the raw archive fits.
	CutSlot = 5 * time.Minute
)

// archivePrefix begins the names of the pipelines that archive a topic. No file's pipeline has a dot in its name.
const archivePrefix = "archive."

// archiveOf is a topic that somebody wants archived.
type archiveOf struct {
	topic  string
	def    *schemas.Definition
	format string
	file   string
	at     Pos
}

// archivesOf lists what a spec wants archived; nothing where its topics have no known schema.
func archivesOf(s *Spec, c *Components) (list []archiveOf) {
	at, ok := archivesSource(s)
	if !ok {
		return nil
	}
	defs, problems := definitionsOf(s, c.Catalog)
	if len(problems) > 0 {
		return nil
	}
	for i, t := range s.Source.Topics {
		list = append(list, archiveOf{topic: t.Value, def: defs[i], format: formatOf(s), file: s.File, at: at})
	}
	return list
}

func archivesSource(s *Spec) (Pos, bool) {
	for _, sink := range s.Sinks {
		if sink.Kind != ParquetSink {
			continue
		}
		for _, of := range sink.Of {
			if of.Value == sourceStep {
				return of.At, true
			}
		}
	}
	return Pos{}, false
}

// Archives makes the plans of the raw archive: one for each topic that a spec's parquet sink takes as `source`, whoever
// asks for it, ordered by topic. slot is CutSlot, or shorter where files should be seen sooner. The specs come from Load.
func Archives(specs []*Spec, c *Components, slot time.Duration) []*engine.Plan {
	plans := map[string]*engine.Plan{}
	for _, s := range specs {
		for _, a := range archivesOf(s, c) {
			if plans[a.topic] == nil {
				plans[a.topic] = a.plan(c, slot)
			}
		}
	}
	list := make([]*engine.Plan, 0, len(plans))
	for _, p := range plans {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *engine.Plan) int { return strings.Compare(a.Pipeline, b.Pipeline) })
	return list
}

// canonicalArchive is hashed like canonical.
type canonicalArchive struct {
	Semantics int    `json:"semantics"`
	Topic     string `json:"topic"`
	Schema    string `json:"schema"`
	Format    string `json:"format"`
	Records   int64  `json:"records"`
	Bytes     int64  `json:"bytes"`
	Slot      int64  `json:"slot"`
}

// plan reads all fields of the topic and writes files that follow from the log alone. Progress has no part in that, so
// its settings are the defaults, whatever the pipelines say that ask for the archive.
func (a archiveOf) plan(c *Components, slot time.Duration) *engine.Plan {
	name := archivePrefix + a.topic
	p := &engine.Plan{Pipeline: name, Instance: instanceOf(name, canonicalArchive{
		semantics, a.topic, a.def.String(), a.format, cutRecords, cutBytes, int64(slot),
	})}
	s := &engine.Stage{
		Plan: p, Name: archiveStage, Topics: []string{a.topic},
		Time:     engine.Time{OutOfOrder: DefaultOutOfOrder, MaxJump: DefaultMaxJump, IdleAfter: DefaultIdleAfter},
		Interval: engine.Intervals{Epoch: DefaultEpoch, Snapshot: DefaultSnapshot, Publish: DefaultPublish},
		Cut:      &engine.Cut{Records: cutRecords, Bytes: cutBytes, Slot: slot},
	}
	fields := a.def.Names()
	s.NewDecoder = func() (stream.Decoder, error) { return c.NewDecoder(a.format, a.def, fields) }
	s.NewSteps = func(engine.TaskContext) ([]engine.Step, error) { return nil, nil }
	s.NewSinks = func(ctx context.Context, t engine.TaskContext) ([]engine.Output, error) {
		return a.sinks(ctx, t, p, c)
	}
	p.Stages = []*engine.Stage{s}
	return p
}

func (a archiveOf) sinks(ctx context.Context, t engine.TaskContext, p *engine.Plan, c *Components) ([]engine.Output, error) {
	schema, err := a.def.Columns(a.def.Names())
	if err != nil {
		return nil, err
	}
	phases := []stream.Phase{stream.Event}
	sink, err := c.NewSink(ctx, SinkConfig{
		Kind: ParquetSink, Pipeline: p.Pipeline, Instance: p.Instance, Output: sourceStep, Schema: schema, Phases: phases,
		Topic: a.topic, Raw: true, Event: a.def.String(),
	}, t)
	if err != nil {
		return nil, err
	}
	return []engine.Output{{Name: string(ParquetSink) + "." + sourceStep, Of: sourceStep, Phases: phases, Sink: sink}}, nil
}
