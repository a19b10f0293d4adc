// Package window holds the operators that fold events into windows of event time: tumbling ones, which follow each other, and
// hopping ones, which overlap.
//
//	steps:
//	  - window:
//	      tumbling: 10s
//	      by: [tenant, host]
//	      aggregate: {avg: avg(value), max: max(value), samples: count()}
//	    as: cpu
//
// A pipeline whose source is keyed by the group has one stage with a [Tumbling]. One that must re-key has two: a [Fold] in
// each source partition, whose partials travel through an internal topic to a [Merge].
//
//	events ─► Tumbling ─► rollup rows
//	events ─► Fold ─► partials ─► internal topic ─► Merge ─► rollup rows
//
// A rollup row has the group columns in the order of "by", the aggregates in the order of the file and, if asked for, the
// evidence: the first and the last record that the row counts.
//
// # The life of a window
//
// The window [start, end) is open until the mark reaches its end. It is then closed: its value leaves in the phase Closed,
// which rules judge. It stays for late events until the mark by records reaches end plus the allowed lateness. It is then
// final: the slots in which something changed since it was closed leave whole, once, in the phase Revised, then its last
// value in the phase Final, and it is gone. All of this happens in Advance and follows from the log and its control
// records. Publish shows, in the phase Live, the slots that changed since they were shown last, closed windows included,
// or after Refresh all that is held; when it is called changes nothing else.
//
// Revised leaves that late because it is a decision. What had changed at some earlier Advance would depend, behind a
// re-keying, on which partials had arrived by then.
//
// An Advance emits first the windows that it closes, in order of time, then those that become final. Each batch has rows
// of one window, complete slots, ordered by slot and group number.
//
// A hopping window of 10m that hops every 1m begins at each minute, so an event is folded into the ten windows that hold it, each
// with a life of its own. The event counts as late if all of them refuse it, as a revision if one that takes it was closed.
//
//   - An event is late, and refused, if the mark that it travelled with has reached its window's end plus the lateness. That
//     mark is by records alone, so an idle tick makes nothing late: it closes windows provisionally. Events that come for
//     such a window are revisions, and the window becomes final when the records' mark gets there, never by the tick.
//   - A window that opens when the mark has passed its end is closed already: rules have judged it without a row. It never
//     leaves in the phase Closed, only as revised.
//   - Group numbers are handed out in the order of events and given free when no window holds the group any more; they are
//     state, since rows are ordered by them.
//   - An event whose time is so close to the ends of the calendar (1678, 2262) that its window is not within it is refused
//     as late.
package window
