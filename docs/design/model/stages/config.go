package stages

import "github.com/tidewatch/tidewatch/docs/design/model/search"

// Config is one variant of the design with its bounds. The zero value of every flag is the fixed design.
type Config struct {
	Sources, Records, Crashes, Steals uint8
	Snapshotless                      uint8 // at most so many epochs of stage 1 take no snapshot
	Ticks                             bool

	NewestPartial, LabelByEmitter, NoCutEmission, TickWithoutEmission bool
	NoFlush, MarksAtOnce, RevealNotRepeated, CarriedMarksDropped      bool
	SetByArrival, DecideOnArrival, NoDedup, Stage2OffsetAhead         bool
	ClaimInReplay                                                     bool
}

func profiles() []Config {
	return []Config{
		{Sources: 2, Records: 1, Ticks: true, Snapshotless: 1},
		{Sources: 2, Records: 1, Crashes: 1},
		{Sources: 1, Records: 2, Crashes: 1, Snapshotless: 1},
	}
}

func wide() Config {
	return Config{Sources: 3, Records: Records, Crashes: 2, Steals: 1, Ticks: true, Snapshotless: 100}
}

// Mutation is one way to misread the design.
type Mutation struct {
	Name, Why string
	Harmless  bool // the model shows that safety does not need the rule
	Rare      bool // only long searches find it
	set       func(*Config)
}

// Small returns one model a profile, changed by the mutation (nil for the fixed design).
func Small(m *Mutation) (models []search.Model[State]) {
	for _, c := range profiles() {
		models = append(models, build(c, m))
	}
	return models
}

// Wide returns the models for random walks.
func Wide(m *Mutation) []search.Model[State] { return []search.Model[State]{build(wide(), m)} }

func build(c Config, m *Mutation) search.Model[State] {
	if m != nil {
		m.set(&c)
	}
	return &Model{c}
}

// Mutations lists every misreading the model knows.
var Mutations = []Mutation{
	{Name: "newest-partial", Why: "a cut is decided on the newest partial that has arrived", set: func(c *Config) { c.NewestPartial = true }},
	{Name: "label-by-emitter", Why: "rows carry the mark of the task that sent them", set: func(c *Config) { c.LabelByEmitter = true }},
	{Name: "no-cut-emission", Why: "partials leave at batch borders only", set: func(c *Config) { c.NoCutEmission = true }},
	{Name: "tick-without-emission", Why: "a tick crosses a cut before the changed partials are sent", set: func(c *Config) { c.TickWithoutEmission, c.NoFlush = true, true }},
	{Name: "no-flush", Why: "marks are published before the rows below them are acknowledged", set: func(c *Config) { c.NoFlush = true }},
	{Name: "marks-at-once", Why: "marks leave before their claim", set: func(c *Config) { c.MarksAtOnce = true }},
	{Name: "marks-not-repeated", Why: "take-over does not repeat the reveal", set: func(c *Config) { c.RevealNotRepeated = true }},
	{Name: "carried-marks-dropped", Why: "the next reveal publishes only its own mark steps", set: func(c *Config) { c.CarriedMarksDropped = true }},
	{Name: "set-by-arrival", Why: "a source counts from its first row on", set: func(c *Config) { c.SetByArrival = true }},
	{Name: "decide-on-arrival", Why: "events are judged when they arrive", set: func(c *Config) { c.DecideOnArrival = true }},
	{Name: "no-dedup", Why: "rows that come twice count twice", set: func(c *Config) { c.NoDedup = true }},
	{Name: "claim-in-replay", Why: "a tick is claimed before the replay has reached the record", set: func(c *Config) { c.ClaimInReplay = true }},
	{Name: "stage2-offset-ahead", Why: "the stage-2 record holds an offset newer than its state", set: func(c *Config) { c.Stage2OffsetAhead = true }},
}
