// Package kafka reads topics for the tasks of a worker. A consumer group decides which partitions a worker has; what is
// read, and from where, is decided by the tasks alone: the group's offsets are for displays.
//
// # The way of a record
//
// Readers ask, so nothing is fetched that no reader wants. Each reader belongs to a feed: a place in a partition with a ring
// of the chunks fetched last. Readers near each other share a feed, so each record is fetched once for all pipelines of
// the worker; one that is elsewhere has a feed of its own until it comes near. A feed that wants more goes to the lane of the
// partition's leader. There are two lanes per broker, each with its own connection: one for what is known to be there, one
// that waits at the end of the log. A lane asks for all its partitions in one request (package kmsg over connections of
// package kgo). The answer is checked, freed of aborted transactions, and added to the ring as it came; the reader
// decompresses block by block and walks over the records in place.
//
// # Not obvious
//
//   - Records are not decoded by package kgo: its Record costs about as much as all the rest (393 against 203 ns a record of
//     350 B with lz4, pools in use), shows no gaps, and a log that ends in a transaction's marker would never seem read
//     to its end.
//   - Requests name topics by id. A topic that was deleted and created again answers with an error, not with other records.
//   - The checksum of a block is checked where it is fetched, and a wrong one fetched again; the checksums inside
//     compressed data are skipped, since the block's has covered the same bytes.
//   - A ring chunk keeps the answer it came in, in which other partitions may have the greater part; such a chunk is copied.
package kafka
