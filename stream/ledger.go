package stream

// Bucket is where an event of the log ended. Every offset ends in exactly one.
type Bucket uint8

// The buckets of the ledger, in the order of precedence. Gap counts offsets without a record (transaction markers,
// compaction).
const (
	BucketRejected Bucket = iota
	BucketQuarantined
	BucketFiltered
	BucketDuplicate
	BucketLate
	BucketRevised
	BucketCounted
	BucketGap
	Buckets // their number
)

var bucketNames = [Buckets]string{"rejected", "quarantined", "filtered", "duplicate", "late", "revised", "counted", "gap"}

// String is the bucket's name in the API, in metrics and in the record.
func (b Bucket) String() string { return bucketNames[b] }

// Ledger counts the events of each bucket since the task's first offset.
type Ledger [Buckets]int64

// Sum is the number of offsets accounted for.
func (l *Ledger) Sum() (sum int64) {
	for _, n := range l {
		sum += n
	}
	return sum
}

// Add adds the counts of m.
func (l *Ledger) Add(m *Ledger) {
	for i, n := range m {
		l[i] += n
	}
}

// Map names the counts, for JSON.
func (l *Ledger) Map() map[string]int64 {
	m := make(map[string]int64, Buckets)
	for i, n := range l {
		m[Bucket(i).String()] = n
	}
	return m
}
