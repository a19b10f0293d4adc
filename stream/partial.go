package stream

// The leading columns of a batch that the second stage of a re-keyed pipeline reads from its internal topic; the group
// columns and the state columns of the aggregates follow. A row is a partial (EntryKind 0), progress of a
// source partition (EntryKind 1), which leaves all columns after EntrySources null, or says that the source has quarantined a
// record (EntryKind 2): its partials beyond the version's offset that do not know so many control records are void, and all that
// it holds was sent again before. That leaves all columns after EntryStep null.
const (
	EntryKind       = iota // Int: PartialEntry or MarkEntry
	EntrySource            // Int: number of the source partition
	EntryOffset            // Int: source version: next offset to read …
	EntryStep              // Int: … and step
	EntryMark              // Timestamp: of a MarkEntry: progress with ticks; null before the first event
	EntryRecordMark        // Timestamp: of a MarkEntry: progress by records
	EntrySources           // Int: of a MarkEntry of source 0: number of source partitions; 0 in the others
	EntryStart             // Timestamp: window of a partial
	EntryEnd               // Timestamp
	EntryAfterClose        // Bool: the source had closed the window before this partial
	EntryColumns           // their number: index of the first group column
)

// The kinds of entries.
const (
	PartialEntry = 0
	MarkEntry    = 1
	RaiseEntry   = 2
)

// EntrySchema is the schema of an internal topic whose partials have these group and state columns.
func EntrySchema(partial *Schema) *Schema {
	fields := []Field{
		{"_kind", Int},
		{"_source", Int},
		{"_offset", Int},
		{"_step", Int},
		{"_mark", Timestamp},
		{"_record_mark", Timestamp},
		{"_sources", Int},
		{"_start", Timestamp},
		{"_end", Timestamp},
		{"_after_close", Bool},
	}
	return &Schema{Fields: append(fields, partial.Fields...)}
}
