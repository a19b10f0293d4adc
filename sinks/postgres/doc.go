// Package postgres keeps in PostgreSQL what has to be decided exactly once: the rows that tasks claim their epochs on, and
// the alerts that those claims carry.
//
//   - [DB] is the connection pool with its migrations.
//   - [ClaimStore] is the stream.ClaimStore: task rows, and the decisions of a claim in the transaction that wins it.
//   - [AlertStore] is the alerts.Store that readers use, and folds acknowledgements in.
//   - [Outbox] hands notifications to whoever sends them.
//
// # Not obvious
//
//   - A claim is one statement. Whoever is not returned by it has not lost yet: a row with the same epoch and bytes is an
//     earlier copy of the same claim. That is read in a second statement, because the first one's snapshot may be older
//     than the commit it waited for.
//   - The timeline comes from the WAL position of the server that runs the statement (the SQL function
//     tidewatch_timeline), never from pg_control_checkpoint, which keeps the old timeline until the first checkpoint after
//     a promotion.
//   - An acknowledged commit must survive a crash of the server, so connections raise synchronous_commit from off to on.
//   - Rows about alerts keep event time as nanoseconds (bigint): timestamptz would round, and order would change. The view
//     tidewatch_alert_list shows instants.
//   - The body of a transition is json, not jsonb: jsonb refuses the character NUL and rewrites numbers.
package postgres
