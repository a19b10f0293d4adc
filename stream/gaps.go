package stream

// GapKind says why an offset of the log has no record for readers.
type GapKind uint8

// The kinds of gaps. What a source cannot tell, and what the broker no longer has, is absent: compaction leaves holes, and in
// time it removes markers and aborted records too. So the kinds explain the log as it was when it was read; a second
// reading may find more of it absent, and only their sum is the same for ever.
const (
	GapAbsent  GapKind = iota // the log does not hold the offset
	GapMarker                 // the marker that ends a transaction
	GapAborted                // a record of a transaction that was aborted
)

var gapNames = [...]string{"absent", "marker", "aborted"}

// GapKinds lists all kinds.
func GapKinds() []GapKind { return []GapKind{GapMarker, GapAborted, GapAbsent} }

// String is the kind's name in the API and in metrics.
func (k GapKind) String() string { return gapNames[k] }

// Gap are the offsets from From to before Next, all of one kind.
type Gap struct {
	From, Next int64
	Kind       GapKind
}

// Gaps explains the gaps that a ledger counts, as far as the source knows: what is neither is absent.
type Gaps struct {
	Marker  int64 `json:"marker"`
	Aborted int64 `json:"aborted"`
}

// Pass adds what the gaps have of the offsets from from to before next.
func (s *Gaps) Pass(gaps []Gap, from, next int64) {
	for _, g := range gaps {
		n := max(min(g.Next, next)-max(g.From, from), 0)
		switch g.Kind {
		case GapMarker:
			s.Marker += n
		case GapAborted:
			s.Aborted += n
		case GapAbsent:
		}
	}
}

// Add adds the counts of m.
func (s *Gaps) Add(m Gaps) { s.Marker, s.Aborted = s.Marker+m.Marker, s.Aborted+m.Aborted }

// Map names the counts of a ledger's gaps, for JSON.
func (s *Gaps) Map(l *Ledger) map[string]int64 {
	return map[string]int64{
		GapMarker.String(): s.Marker, GapAborted.String(): s.Aborted, GapAbsent.String(): l[BucketGap] - s.Marker - s.Aborted,
	}
}
