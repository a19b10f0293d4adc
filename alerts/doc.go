// Package alerts turns the windows of a rollup into alerts: what a rule is, when its state changes, and what leaves for
// the store that keeps alerts.
//
// # The life of an alert
//
//	           holds                    held for `for`
//	inactive ─────────► pending ─────────────────────────► firing ──► resolved ──► inactive
//	    ▲                  │  does not hold                  │  has not held for `keep_firing_for`
//	    └──────────────────┘                                 └─ holds again: stays
//
// With `for: 0` inactive goes to firing at once. [Step] is this drawing as a pure function. [Operator] applies it to the
// closed windows of a rollup, per group; every change leaves as a [Transition] in a stream.Decision, for the transaction
// that claims the epoch.
//
// # Judging
//
// A rule judges a window once, when the watermark has passed its end; the time of a change is that end, never the time of
// the judgement. A group without a row in a window counts as false. A later revision of the window, which shows
// when the window is final, never changes the state: it marks the alert as revised.
//
// # From transitions to rows
//
// A store keeps three things, and all follow from the transitions it inserts; [Memory] is this in a few lines.
//
//   - History: one row per Transition.ID. Equal ids have equal bodies, so a repeat changes nothing.
//   - The current row: one per Alert.ID. It is the Alert of the newest transition by (At, Revision), see
//     [Transition.Newer]; an older one that arrives late changes nothing. Resolved and inactive alerts are terminal: the row
//     stays until the retention deletes it, so that nothing older can bring it back.
//   - The outbox: one row where [Transition.Notifies], written only where the history row was inserted, under the same id.
//
// An acknowledgement is not part of a transition. It comes as a command, see [ParseCommand], may be known before its alert
// is (after a replay), and so belongs into rows of its own that a reader joins: the newest by [Logged.Newer] wins.
package alerts
