// Package presence holds the operators that follow a window and remember which groups had a row: [First] passes groups that
// come for the first time in long, [Absence] tells of those that come no more.
//
//	steps:
//	  - window: {tumbling: 1m, by: [tenant, user, country], aggregate: {logins: count()}}
//	  - first_seen: {of: country, within: 30d, learn: 1d}
//	  - alert: {name: LoginFromNewCountry, when: logins >= 1}
//
// They work on rows of windows and not on events, for two reasons. Behind a re-keying the rows of a group are all in one
// task, closed in an order that follows from the logs; so nothing has to be known of how the producers key. (A First needs all
// groups of an owner in one task: window.Config.Together sees to that.) And a
// window has one row where there may be thousands of events, so what is remembered is touched rarely.
//
// # What is remembered
//
// A group is remembered by the end of the last window in which it had a row. Rows count when their window is closed; a row that only
// late events have made, which comes as revised, teaches and decides nothing, as with rules. Everything follows from the
// windows and their order, so the borders of batches and the time of a snapshot change nothing.
//
// A group takes 8 bytes for each group column, 29 bytes for its place in the table, 8 for the time (and 40 for evidence in an
// Absence), and its strings once.
package presence
