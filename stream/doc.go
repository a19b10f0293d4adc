// Package stream is the kernel: the words and contracts that every part of Tidewatch shares. It uses the standard library
// only, does no I/O and starts no goroutine.
//
// # The life of an event
//
// A [Reader] reads records of a [Partition] and has a [Decoder] turn them into rows of a [Batch]. The engine folds the
// partition's progress over the rows with a [Marker] and stamps each event with the mark that held just before it. It
// cuts the batch wherever the progress crosses a point of the stage's [Grid], hands the rows to the first [Operator], and
// calls Advance at the crossing. What the last operators emit goes to every [Sink] of that output.
//
// From time to time the engine captures an epoch: the offset, the progress, the [Ledger], perhaps a snapshot of all
// state. Each sink stages what belongs to the epoch; the [ClaimStore] replaces the task's row in one transaction, together
// with the decisions taken; then each sink reveals what was staged. A crash anywhere leaves a row from which another
// worker goes on: it loads the snapshot and replays to the version of the row.
//
// # Not obvious
//
//   - An event is late against the mark it travelled with ([Batch].Mark), never against the newest. Otherwise batch
//     borders would change results.
//   - An idle tick closes windows provisionally and never makes a record late: lateness follows Advance.RecordMark.
//   - Everything that leaves before its epoch is claimed must depend on records alone and be an absolute value.
//   - Live, Closed and Revised rows of a slot come complete, because a receiver replaces the whole slot of a window.
//   - A sink's Stage does no I/O: the task's goroutine waits for nothing but back pressure and control records.
//   - Names of visible files never hold an epoch or an owner; names of staged ones always do.
package stream
