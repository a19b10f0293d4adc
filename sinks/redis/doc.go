// Package redis keeps rollups for live dashboards in Redis: it writes them, and it reads what it writes.
//
// KEYS.md lists every key. In short: one hash for each window of an output, in it one field for each task and slot, and in
// the field a block: all rows of that slot in that window, packed column by column, behind the version that they show.
// One Lua call writes many blocks; a block replaces an older one and never a newer one.
//
//   - [Client] is the connection. It knows whether Redis has been emptied.
//   - [Sink] is a stream.Sink for the live, closed and revised rows of one task and one output.
//   - [Client.Read] answers queries, [Client.Subscribe] tells when there is something new.
//
// # Not obvious
//
//   - A field is written by one task only, but perhaps by several owners of that task at once. So versions are compared for
//     each field, and only there: versions of two partitions or two incarnations of a topic mean nothing to each other,
//     which is why a field's name holds a hash of the incarnation.
//   - To compare without fetching blocks, each window keeps the highest version of each task. A batch that is newer than
//     that is newer than every block; only the others are compared one by one.
//   - Lua compares strings by the locale of the server. The script compares bytes.
//   - complete_through is written when everything that the epoch had written before is acknowledged, and not before a
//     replay has arrived, so that nobody is told that a window is complete whose rows are still on their way. It is written
//     behind the commit, which never waits for it: a receipt that is lost is superseded by the next, or is still in the
//     task's row when the next owner takes over.
package redis
