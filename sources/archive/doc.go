// Package archive reads the raw archive back as if it were the log: partitions with offsets, events in their order.
//
// The archive is sorted by time inside files of an hour, so the rows of a part (what lay between two cuts) are put back in
// order of offset: a part is loaded as a whole, and each row of a column goes straight to its place. What a decoder would
// have made of a record follows from the columns: the batches have the columns that the decoder's schema wants, attributes
// of their own (`attributes.region`) come out of the column of all attributes, and the producer is found as decoders find
// it. A test decodes the same records both ways and compares.
//
// What is no event travels beside: [Source.Controls] returns the control records that a stage's tasks have claimed, for a
// replay that applies them where they took effect.
//
// Offsets without a row (records that were rejected, transaction markers, and rows outside the wanted time) are gaps.
package archive
