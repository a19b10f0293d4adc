package stream

import "context"

// Partition names one partition of a topic, or one file of a replay. Incarnation is the topic's id: a topic that was
// deleted and created again has another one, and offsets of the two are never compared.
type Partition struct {
	Topic       string `json:"topic"`
	Number      int32  `json:"number"`
	Incarnation string `json:"incarnation,omitempty"`
}

// Source gives out partitions. One goroutine of the engine calls Assign; Open may be called from any task's goroutine.
type Source interface {
	// Assign blocks until ctx is done or the source fails, and calls change with the partitions that this worker gains
	// and loses. The call with lost partitions returns only when their tasks have stopped. A bounded source calls
	// change once and returns io.EOF when the last reader has ended.
	Assign(ctx context.Context, change func(gained, lost []Partition) error) error
	// Open returns a reader at offset. An offset that the log no longer or not yet has is a Fatal error that explains
	// itself: nothing is reset silently.
	Open(ctx context.Context, p Partition, offset int64, d Decoder) (Reader, error)
}

// Reader reads one partition for one task, from the task's goroutine.
type Reader interface {
	// Read blocks until there is input, ctx is done or idle time has passed, and returns the next rows, or an Input
	// without rows when there is nothing new. The Input is the caller's until the next Read. Bounded input ends with
	// io.EOF. The same offset gives the same events in the same order, in other portions.
	Read(ctx context.Context) (*Input, error)
	// Close may be repeated.
	Close() error
}

// Input is a portion of a partition as a Reader returns it.
type Input struct {
	Batch    *Batch     // events that decoded; Mark is left to the engine
	Rejected []Rejected // records that did not, in offset order
	Gaps     []Gap      // what is known of offsets without a record, in offset order
	From     int64      // first offset of the portion
	Next     int64      // first offset after it: Next - From = events + rejected + gaps
	End      int64      // end of the log as the broker last said (last stable offset), -1 if unknown
}

// Rejected is a record that was set aside, and why: it becomes a dead letter. A reader's are LetterRejected.
type Rejected struct {
	Kind      LetterKind
	Offset    int64
	Timestamp Time // the broker's
	Reason    string
	Detail    string     // more about the reason: the stack of a panic, the answer of a server; a letter may cut it
	Key, Raw  []byte     // valid until the next Read
	Row       *ParkedRow // of LetterParked, whose Offset is that of the row's version and whose Raw is JSON
}

// Decoder turns raw records into rows. It belongs to one reader.
type Decoder interface {
	// Schema of the batches that Decode fills.
	Schema() *Schema
	// Decode appends the event of the record to b, with all event columns but Mark, or returns a Reject error and leaves
	// b as it was. The decoder of an internal topic appends many rows for one record. Whoever has called it settles the batch
	// before anybody reads it (Batch.Settle).
	Decode(m *Message, b *Batch) error
}

// Message is a raw record of the log. Its bytes belong to the reader.
type Message struct {
	Offset     int64
	Timestamp  Time // the broker's or the producer's, as the topic says
	Key, Value []byte
}

// Marker folds the progress of a partition over its events. It is state of the task and is used from its goroutine.
type Marker interface {
	// Fold takes rows of b from row lo on, sets their Mark, and stops behind the first row at which the progress reaches
	// mark, or that by records reaches record, or becomes known; else at the end. It returns the row behind the last one
	// taken. Rows of one record are taken together.
	Fold(b *Batch, lo int, mark, record Time) (hi int)
	// Marks returns the progress with idle ticks, and by records alone. The first is never lower.
	Marks() (mark, record Time)
	// Turn returns the first point on the way from (mark, record), where Marks stood before the last Fold or Tick, to where
	// they stand now, up to which they are to be told as if they moved as one. On the last leg that is Marks.
	Turn(mark, record Time) (Time, Time)
	// Tick raises the progress to mark, without touching what records have shown.
	Tick(mark Time)
	Snapshot(w *StateWriter) error
	Restore(r *StateReader) error
}
