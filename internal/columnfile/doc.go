// Package columnfile turns columns into Parquet files and back. It serves the archive: sinks/parquet writes and scans with
// it, sources/archive replays with it.
//
// Writing assembles pages from what the columns are already: dictionary numbers, integers, floats. A general writer takes
// values one by one and looks each string up in a dictionary of its own, which was measured to cost five times as much as
// everything else together. Encodings, metadata structures and Thrift come from parquet-go, compression from
// klauspost/compress; reading is parquet-go's throughout, so a file is never read by the code that wrote it.
//
// Equal input gives equal bytes: no time, no random name, no map order goes into a file.
//
// Layout: row groups of [GroupRows] rows; in each, one chunk a column with data pages of version 2. Strings are
// dictionary-encoded in order of first sight, or DELTA_LENGTH_BYTE_ARRAY where hardly any value repeats. Integers and
// timestamps are DELTA_BINARY_PACKED, floats PLAIN, booleans bits. zstd throughout. Every chunk has its lowest and highest
// value, its nulls and a CRC a page; there is no page index, because a row group is what a reader skips.
package columnfile
