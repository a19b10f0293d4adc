package stream

import (
	"context"
	"encoding/json"
)

// Sink is an output of a stage. Write and Stage come from the task's goroutine; the Work that Stage returns and Reveal
// come from the goroutine that commits the task's epochs, one at a time, while the task goes on writing. Each task has
// its own Sink. While a task replays what its row already claims, Write works as ever; when it has arrived, Stage is called
// and its work dropped: parts finished up to there are staged or visible already.
type Sink interface {
	// Write takes rows. A sink whose rows leave at once sends absolute values with their version, and may block when too
	// much is unacknowledged (this is the back pressure). Other sinks keep the rows until a part is finished.
	Write(ctx context.Context, b *Batch) error
	// Stage ends the epoch's part, without I/O, and returns the work that makes it durable but unseen (files), or waits
	// for its acknowledgement (what left at once). nil means that there is nothing to do.
	Stage(e Epoch) Work
	// Reveal makes a staged part visible. It may be repeated with the same receipt, in another process too.
	Reveal(ctx context.Context, receipt Receipt) error
	// Close makes nothing visible that waits for a reveal. It may be repeated.
	Close() error
}

// Epoch tells a sink what is being captured.
type Epoch struct {
	At         Version
	Mark       Time // event-time progress, ticks included
	RecordMark Time // by records alone
	Ledger     Ledger
	Snapshot   bool // the epoch takes a snapshot: what left at once must be acknowledged before the claim
	// Raised says that a quarantine has just taken effect: all that the operators hold was written anew, and what another owner
	// has sent beyond At without knowing of it is void.
	Raised bool
	// Prefix under which staged objects are put: unique for the task, version and owner.
	Prefix string
}

// Work makes a part durable. It is repeated until it succeeds, with back-off, so it must be idempotent.
type Work func(ctx context.Context) (Receipt, error)

// Receipt says what Reveal has to do. It is kept in the task's row, so it is small; null means nothing.
type Receipt = json.RawMessage

// The optional abilities of a sink, found by type assertion. This is the whole list.
type (
	// StatefulSink keeps rows over epochs; they are part of the task's snapshot. Calls come from the task's goroutine.
	StatefulSink interface {
		Snapshot(w *StateWriter) error
		Restore(r *StateReader) error
	}
	// AdvancingSink wants to see the partition's progress, after what the operators emitted at that point was written.
	AdvancingSink interface {
		Advance(ctx context.Context, to Advance) error
	}
	// RefreshingSink has a receiver that may lose what it holds. Refresh comes from the task's goroutine when everything that
	// can be shown was written once more. The work, which any goroutine may run, describes the output anew, with the mark of
	// the newest claim, and returns when all of it has arrived.
	RefreshingSink interface {
		Refresh(claimed Time) Work
	}
	// ErasingSink has a receiver of Live rows whose slots may become empty. Erase comes from the task's goroutine like Write,
	// with slots of a window that hold no rows at that version.
	ErasingSink interface {
		Erase(ctx context.Context, w Window, at Version, slots []uint8) error
	}
	// HoldingSink keeps final rows of windows until a part is finished. Held visits them from the task's goroutine, complete
	// slots in slot order; a batch is lent until visit returns, and its error comes back unchanged.
	HoldingSink interface {
		Held(visit func(b *Batch) error) error
	}
	// FullSink keeps the rows of an epoch in memory. Full is asked from the task's goroutine, between two inputs, whether they
	// are so many that the epoch should end now; in a replay, Stage is called then and its work dropped.
	FullSink interface {
		Full() bool
	}
	// TroubledSink sends in the background. Trouble, from any goroutine, says why its receiver does not take what it is sent;
	// nil while it does.
	TroubledSink interface {
		Trouble() error
	}
	// ControlSink keeps the control records of the task. Control comes from the task's goroutine with each of them in the order
	// of their versions, once it is claimed and where it takes effect; in a replay again.
	ControlSink interface {
		Control(c *Control)
	}
)
