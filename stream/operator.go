package stream

// Operator is one step of a stage. All calls come from the task's goroutine. An operator has no clock, does no I/O,
// starts no goroutine and ranges over no map into its output: equal input gives equal output in equal order, however the
// input was cut into batches.
type Operator interface {
	// Process takes the next rows. It may emit any number of batches before it returns.
	Process(b *Batch, out Emitter) error
	// Advance tells that the mark has crossed a point of the stage's grid: mark is the partition's mark after the record
	// before at.Offset (or after the tick). The engine ends a batch at every such record, so a window need not look for
	// its end in Process. Several points may be crossed at once.
	Advance(to Advance, out Emitter) error
	// Snapshot writes the whole state; Restore reads it into a fresh operator.
	Snapshot(w *StateWriter) error
	Restore(r *StateReader) error
}

// Advance is a step of the partition's progress.
type Advance struct {
	Mark        Time    // event-time progress, ticks included: windows that end at or before it close
	RecordMark  Time    // progress by records alone: a window's state stays until it has passed the end plus the lateness
	At          Version // of everything emitted now
	Provisional bool    // caused by an idle tick
}

// Emitter passes on what an operator produces. It belongs to the engine; its error must be returned unchanged.
type Emitter interface {
	// Emit returns when downstream has taken the batch.
	Emit(b *Batch) error
	// Wants reports whether anybody downstream takes batches of the phase; others need not be made.
	Wants(p Phase) bool
	// Decide hands over a decision for the transaction that claims the epoch.
	Decide(d Decision) error
	// Count moves n events into a bucket of the ledger. Events that reach the end of the chain uncounted are Counted.
	Count(bucket Bucket, n int64)
}

// Decision is a row for the claiming transaction, an alert transition in particular. Equal ids have equal bodies,
// whoever decided: the store inserts an id once.
type Decision struct {
	ID   string `json:"id"`
	Body []byte `json:"body"` // JSON
}

// The optional abilities of an operator, found by type assertion. This is the whole list.
type (
	// Dated operators know the next point in event time at which there is something to decide, MaxTime if there is none
	// now. It may have passed. They are told of progress past it point by point, so that what they decide, and in which
	// order, does not depend on how many points one record has crossed; of points where nothing is due, they are told of the
	// last.
	Dated interface{ Due() Time }
	// Gridded operators are the Dated ones whose points lie on grids. Batches end at the records that cross the grids.
	Gridded interface {
		Dated
		Grids() Grids
	}
	// Publisher operators can show the values of open windows. The engine calls Publish from the task's goroutine, when
	// it likes: what is shown depends on that, what is decided never does. at stamps the rows.
	Publisher interface {
		Publish(at Version, out Emitter) error
	}
	// Refresher operators hold values that a receiver may have lost. After Refresh everything that is held counts as not
	// shown yet, so that the next Publish emits all of it. It changes nothing else.
	Refresher interface{ Refresh() }
	// Heir operators stand behind a window, and can go on with the state of the same step in another version of the pipeline.
	// Inherit reads into a fresh operator what the other's Snapshot wrote; nothing is known of the time between that and
	// the cut, and the first window that comes begins there. Operators that are no heirs get it by Restore.
	Heir interface {
		Inherit(r *StateReader, cut Time) error
	}
	// Sized operators tell the bytes of memory that their state takes, and the live groups.
	Sized interface{ Size() (bytes, groups int64) }
	// Limited operators bound the groups of a window: how many may be in one, are in the fullest now, and how many rows were
	// counted in the other group since the start. There is no limit if most is 0.
	Limited interface {
		Limits() (most, groups, overflow int64)
	}
)
