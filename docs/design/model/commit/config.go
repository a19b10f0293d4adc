package commit

import "github.com/tidewatch/tidewatch/docs/design/model/search"

// Config is one variant of the design with its bounds. The zero value of every flag is the fixed design.
type Config struct {
	Records, FreeEpochs, Snapshots                                    uint8
	Crashes, Steals, Failovers, Hours, Deletions, Delays, LostReplies uint8
	Kinds                                                             []uint8 // kinds of control record that may appear

	ClaimIgnoresOwner, ClaimIgnoresEpoch, TransitionsOfLosers bool
	RecaptureOnRetry, OwnerIDPerProcess, NamesWithoutOwner    bool
	FlushForgotten, CarryDropped, RevealNotRepeated           bool
	FilesBeforeClaim, RichAtOnce, FilesNamedByEpoch           bool
	ControlBeforeClaim, ControlForgotten, ControlNotCopied    bool
	ControlBelowFrontier                                      bool
	StepForgotten, MarkForgotten, VersionWithoutStep          bool
	NoVersionGuard, NotificationTaggedByEpoch                 bool
	GCIgnoresEpoch, GCIgnoresCarried, NoRetention             bool
	RetentionFromCreation, NoFence                            bool
	RowNeverChecked, TimelineIgnored                          bool
	FrontierByPacks, FrontierNotKept                          bool

	ControlNotReplayed, ControlsOfLastEpoch, ControlReplayedTooEarly bool
	ControlInReplay, StepNotReplayed, ReplayResends                  bool
	PackOfNewestEpochOnly, SnapshotNewerThanClaim                    bool
	RevealedBeforeReplay, ReplaySilent                               bool
}

// Profiles are the bounds for the breadth-first search. One kind of trouble each keeps the search complete.
func profiles() []Config {
	one := Config{Records: 2, FreeEpochs: 1, Snapshots: 1, Kinds: []uint8{table}}
	crash, failover, delay, both, replay := one, one, one, one, one
	crash.Crashes = 1
	failover.Failovers, failover.Records = 1, 1
	delay.Delays, delay.LostReplies, delay.Steals, delay.Kinds = 1, 1, 1, nil
	both.Records, both.Kinds = 1, []uint8{tick, table}
	both.Crashes = 1
	replay.Records, replay.FreeEpochs, replay.Snapshots, replay.Crashes = 3, 2, 2, 1
	return []Config{crash, failover, delay, both, replay}
}

// wide has bounds for random walks.
func wide() Config {
	return Config{
		Records: uint8(len(events)), FreeEpochs: 4, Snapshots: maxPacks, Crashes: 2, Steals: 1, Failovers: 1, Hours: 2,
		Deletions: 6, Delays: 1, LostReplies: 1, Kinds: []uint8{tick, table},
	}
}

// Model is a Config that can be searched.
type Model struct{ Config }

// Mutation is one way to misread the design.
type Mutation struct {
	Name, Why string
	Harmless  bool // the model shows that safety does not need the rule
	Rare      bool // only long searches find it
	set       func(*Config)

	needsCrashAndFailover bool
}

// Small returns one model a profile, changed by the mutation (nil for the fixed design).
func Small(m *Mutation) (models []search.Model[State]) {
	for _, c := range profiles() {
		models = append(models, build(c, m))
	}
	if m != nil && m.needsCrashAndFailover { // too large for every run, and too rare for random walks
		models = append(models, build(Config{Records: 2, FreeEpochs: 1, Snapshots: 1, Crashes: 1, Failovers: 1, Kinds: []uint8{table}}, m))
	}
	return models
}

// Wide returns the models for random walks: everything at once, and a short log with a fail-over and a crash.
func Wide(m *Mutation) []search.Model[State] {
	short := Config{Records: 2, FreeEpochs: 2, Snapshots: 2, Crashes: 1, Failovers: 1, Kinds: []uint8{table}}
	return []search.Model[State]{build(wide(), m), build(short, m)}
}

func build(c Config, m *Mutation) search.Model[State] {
	if m != nil {
		m.set(&c)
	}
	return &Model{c}
}

// Mutations lists every misreading the model knows.
var Mutations = []Mutation{
	{Name: "claim-ignores-owner", Why: "the claim compares only the epoch", Harmless: true, set: func(c *Config) { c.ClaimIgnoresOwner, c.Crashes = true, min(c.Crashes, 1) }},
	{
		Name: "no-fence", Why: "take-over reads the row without setting the owner; the claim compares only the epoch", Harmless: true,
		set: func(c *Config) { c.NoFence, c.ClaimIgnoresOwner, c.Crashes = true, true, 0 },
	},
	{Name: "claim-ignores-epoch", Why: "the claim compares only the owner", set: func(c *Config) { c.ClaimIgnoresEpoch = true }},
	{Name: "transitions-of-losers", Why: "transitions are inserted for tasks the UPDATE did not return", set: func(c *Config) { c.TransitionsOfLosers = true }},
	{Name: "recapture-on-retry", Why: "an unanswered claim is repeated with new bytes, and epoch plus owner count as proof", set: func(c *Config) { c.RecaptureOnRetry = true }},
	{Name: "owner-id-per-process", Why: "a process that recovers keeps its owner id", set: func(c *Config) { c.OwnerIDPerProcess = true }},
	{Name: "names-without-owner", Rare: true, Why: "staged names hold only task and epoch", set: func(c *Config) { c.NamesWithoutOwner = true }},
	{Name: "flush-forgotten", Why: "claimed before the live outputs are acknowledged, and not carried", set: func(c *Config) { c.FlushForgotten = true }},
	{Name: "carry-dropped", Why: "the next record forgets what a sink has not confirmed", set: func(c *Config) { c.CarryDropped = true }},
	{Name: "reveal-not-repeated", Why: "take-over does not repeat the reveal", set: func(c *Config) { c.RevealNotRepeated = true }},
	{Name: "files-before-claim", Why: "staged files are copied before the claim", set: func(c *Config) { c.FilesBeforeClaim = true }},
	{Name: "rich-at-once", Why: "outputs that depend on control records leave at once", set: func(c *Config) { c.RichAtOnce = true }},
	{Name: "files-named-by-epoch", Why: "visible names hold the epoch", set: func(c *Config) { c.FilesNamedByEpoch = true }},
	{
		Name: "control-before-claim", Why: "a control record takes effect before its claim, and its outputs leave at once",
		set: func(c *Config) { c.ControlBeforeClaim, c.RichAtOnce = true, true },
	},
	{Name: "control-forgotten", Why: "take-over does not apply the control record", set: func(c *Config) { c.ControlForgotten = true }},
	{Name: "control-not-copied", Why: "a claimed control record lives in Postgres alone", set: func(c *Config) { c.ControlNotCopied = true }},
	{Name: "control-below-frontier", Why: "after a fail-over a new control record is accepted where a lost epoch has already been revealed", set: func(c *Config) { c.ControlBelowFrontier = true }},
	{Name: "row-never-checked", Why: "a task with nothing to claim does not look at its row", set: func(c *Config) { c.RowNeverChecked = true }},
	{Name: "timeline-ignored", Rare: true, Why: "a fail-over that loses a take-over gives the row back to the fenced owner", set: func(c *Config) { c.TimelineIgnored = true }},
	{
		Name: "frontier-by-packs", Why: "no new control record below the highest version of any pack; an epoch without snapshot leaves none",
		set: func(c *Config) { c.FrontierByPacks = true },
	},
	{
		Name: "frontier-not-kept", Rare: true, Why: "only the first owner on a new timeline knows the end of the log, the row does not keep it", needsCrashAndFailover: true,
		set: func(c *Config) { c.FrontierNotKept = true },
	},
	{Name: "control-not-replayed", Why: "the record does not list the control records since the snapshot", set: func(c *Config) { c.ControlNotReplayed = true }},
	{Name: "controls-of-last-epoch", Why: "the record lists only the control records since the epoch before", set: func(c *Config) { c.ControlsOfLastEpoch = true }},
	{Name: "control-replayed-at-wrong-offset", Why: "the replay applies the listed control records at the snapshot's offset", set: func(c *Config) { c.ControlReplayedTooEarly = true }},
	{Name: "control-accepted-in-replay", Why: "a new control record is accepted before the replay has reached the record", set: func(c *Config) { c.ControlInReplay = true }},
	{Name: "step-not-restored-in-replay", Why: "a control record that is replayed does not count as a step", set: func(c *Config) { c.StepNotReplayed = true }},
	{Name: "replay-resends-under-new-id", Why: "what the replay decides again is claimed again, under ids of its own", set: func(c *Config) { c.ReplayResends = true }},
	{Name: "revealed-before-replay", Why: "what the record carries is published from the snapshot's state", set: func(c *Config) { c.RevealedBeforeReplay = true }},
	{Name: "replay-does-not-resend", Why: "carried live keys are written at once from the snapshot's state, and the replay sends nothing", set: func(c *Config) { c.ReplaySilent = true }},
	{Name: "pack-of-newest-epoch-only", Rare: true, Why: "collection keeps only the pack of the newest epoch", set: func(c *Config) { c.PackOfNewestEpochOnly = true }},
	{Name: "snapshot-newer-than-claim", Why: "the pack holds the state at its upload, not at the capture", set: func(c *Config) { c.SnapshotNewerThanClaim = true }},
	{Name: "step-forgotten", Why: "the step is not part of the record", set: func(c *Config) { c.StepForgotten = true }},
	{Name: "mark-forgotten", Why: "the mark is not part of the record", set: func(c *Config) { c.MarkForgotten = true }},
	{Name: "version-without-step", Why: "outputs are stamped with the offset only", set: func(c *Config) { c.VersionWithoutStep = true }},
	{Name: "no-version-guard", Why: "Redis keeps the last writer", set: func(c *Config) { c.NoVersionGuard = true }},
	{Name: "notification-tagged-by-epoch", Why: "the id of a notification holds the epoch", set: func(c *Config) { c.NotificationTaggedByEpoch = true }},
	{Name: "gc-ignores-epoch", Why: "unreferenced objects are deleted by age alone", set: func(c *Config) { c.GCIgnoresEpoch = true }},
	{Name: "gc-ignores-carried", Why: "collection looks only at what the newest epoch staged", set: func(c *Config) { c.GCIgnoresCarried = true }},
	{Name: "no-retention", Why: "objects are deleted as soon as the row is past them", set: func(c *Config) { c.NoRetention = true }},
	{Name: "retention-from-creation", Rare: true, Why: "the retention counts from the object's creation", set: func(c *Config) { c.RetentionFromCreation = true }},
}
