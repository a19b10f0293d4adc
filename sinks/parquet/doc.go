// Package parquet writes the archive: every event of a topic ([Raw]), the control records that tasks have claimed on it
// ([Controls]) and the final rows of windows ([Rollups]), as Parquet files in the object store, and reads events and rows back
// ([ScanRaw], [ScanRollups]). FORMAT.md describes names, columns and metadata.
//
// # How a file becomes visible
//
// A part ends where the log says: raw parts at the cuts of the stage, rollups where the mark by records passes the end of a
// slot of event time. Stage takes the finished parts aside and returns the work that encodes them and puts them below the
// epoch's prefix. Once the epoch is claimed, Reveal copies each to its visible name, which follows from the log alone:
// whoever repeats it finds the file there, or writes the same bytes.
//
// # Not obvious
//
//   - Work runs on the committer's goroutine while the task goes on writing. So Stage hands the buffer over and takes
//     another one; nothing but that is shared.
//   - A name that exists is left as it is, so a file with other rows under the same name would be lost without a word.
//     Reveal compares sizes, and where they differ, what the files say about themselves.
//   - Control records are no part of the files of events. A tick is claimed by the task of one pipeline, whenever that task has
//     caught up; a file of events is claimed by another task and holds the same bytes whoever writes it again.
//   - Files never show the numbers of a dictionary: two runs number differently.
package parquet
