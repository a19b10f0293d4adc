package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// TaskID names a task: one partition of one stage of one instance of a pipeline.
type TaskID struct {
	Instance  string // pipeline and version: "host-cpu@1f3a…"
	Stage     string
	Partition Partition
}

// String is the key of the task's row.
func (t TaskID) String() string {
	return fmt.Sprintf("%s/%s/%s.%s/%d", t.Instance, t.Stage, t.Partition.Topic, t.Partition.Incarnation, t.Partition.Number)
}

// Checkpoint is the row of a task, and a claim on it: Claim replaces the row whose epoch is one lower.
type Checkpoint struct {
	Task     TaskID
	Epoch    int64  // 0: nothing claimed yet
	Owner    string // drawn anew at every take-over
	Timeline int64  // of Postgres, at the take-over
	Record   []byte // JSON of a Record; equal bytes mean the same claim
	// Decisions are inserted by the transaction that claims the epoch, if it is won. They are not part of the row.
	Decisions []Decision
	// Ended tells how the owners before have ended. TakeOver sets it, and it is no part of a claim.
	Ended Ended
}

// Ended is what a take-over learns of the owners before.
type Ended struct {
	// Deaths is how many of them in a row have ended without a [Journal.Release]: their processes died, or stand still. An owner
	// that has claimed an epoch begins a new row, of itself.
	Deaths int
	Entry  []byte        // of the journal; nil if there is none
	Lasted time.Duration // how long the process was seen to live on after it had written Entry
	// Isolation says that somewhere a task works alone, or did so until its process died a moment ago.
	Isolation bool
}

// Record is what a row holds beside epoch, owner and timeline. Unknown fields of a newer version are refused.
type Record struct {
	Format int     `json:"format"` // 2; 1 is read
	At     Version `json:"at"`
	// Snapshot is the newest; the state at At follows from it by a replay. Previous is the one before it, for the case that the
	// newest is damaged; nil if there was none since format 2.
	Snapshot Snapshot  `json:"snapshot"`
	Previous *Snapshot `json:"previous,omitempty"`
	// Controls since both snapshots, with the version at which each took effect.
	Controls []Control `json:"controls,omitempty"`
	// Control takes effect right after this record's claim.
	Control *Control `json:"control,omitempty"`
	// Staged is what the reveal has to do, oldest first, what earlier reveals left undone included.
	Staged []Staged `json:"staged,omitempty"`

	Mark       Time   `json:"mark"`        // progress, ticks included
	RecordMark Time   `json:"record_mark"` // by records alone
	Ledger     Ledger `json:"ledger"`
	First      int64  `json:"first"` // the task's first offset: At.Offset - First = Ledger.Sum()
	// Gaps explains the ledger's gaps, as the log was when it was read first; nil: nothing is known.
	Gaps *Gaps `json:"gaps,omitempty"`
	// Generation is raised when what a record means changes after it may have left: by each quarantine.
	Generation int64 `json:"generation"`
	// Frontier is the version before which no new control record is accepted, nil behind it. It was fixed by the first owner
	// on this Timeline of the store.
	Frontier *Version `json:"frontier,omitempty"`
	Timeline int64    `json:"timeline,omitempty"`
	// Sum is the checksum of the row, and always its last field; the engine has written and checked it.
	Sum string `json:"sum,omitempty"`
}

// Snapshot names the objects of a state: a base, and deltas behind it. Without any it is the empty state at the task's first
// offset.
type Snapshot struct {
	At     Version `json:"at"`
	Slices []Slice `json:"slices,omitempty"`
	Size   int64   `json:"size,omitempty"` // of the state
	// The one object of a snapshot in a record of format 1: the state as a whole, and its SHA-256.
	Object string `json:"object,omitempty"`
	Hash   string `json:"hash,omitempty"`
}

// Slice names one object of a snapshot.
type Slice struct {
	Object string `json:"object"` // key in the object store
	Size   int64  `json:"size"`
	Hash   string `json:"hash"` // SHA-256 of its index, hex
}

// Control is a record of the log that is no event: an idle tick, a record that is set aside, or the cut at which one version
// of a pipeline follows another.
type Control struct {
	Kind string  `json:"kind"` // "tick", "quarantine", "until" or "since"
	At   Version `json:"at"`   // takes effect: the version after it
	Mark Time    `json:"mark,omitempty"`
	// Cut is the event time at which windows of the task begin ("since") or begin no more ("until").
	Cut Time `json:"cut,omitempty"`
	// Reason and Detail go into the dead letter of the record that a quarantine sets aside: that at At.Offset.
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Inherit is the state that a task begins with at a cut, nil if it begins empty.
	Inherit *Inheritance `json:"inherit,omitempty"`
}

// Inheritance is the snapshot of a task of another version of the pipeline, and what of it means the same in this one.
type Inheritance struct {
	Slices []Slice           `json:"slices,omitempty"`
	Marks  bool              `json:"marks"` // progress
	Steps  map[string]string `json:"steps"` // by step of this version: where its state lies in the snapshot
	// As in a Snapshot.
	Object string `json:"object,omitempty"`
	Hash   string `json:"hash,omitempty"`
}

// Staged is one receipt of a sink. Prefix is where the epoch that staged it has put its objects.
type Staged struct {
	Sink    string          `json:"sink"`
	Prefix  string          `json:"prefix,omitempty"`
	Receipt json.RawMessage `json:"receipt"`
}

// Row is what a task compares to learn that it was overtaken.
type Row struct {
	Epoch    int64
	Owner    string
	Timeline int64
}

// ClaimStore keeps the rows. Implementations are safe for concurrent use. Errors are Retry where the store is away.
type ClaimStore interface {
	// TakeOver makes owner the owner of the row on the present timeline, which fences the former owner, and returns the
	// row. A task without a row gets one with epoch 0.
	TakeOver(ctx context.Context, task TaskID, owner string) (*Checkpoint, error)
	// Claim replaces, in one transaction, each row that has the epoch before and the same owner and timeline, inserts
	// the decisions of those tasks only, and reports which were won. A row that holds the claim's bytes already is won
	// too: an unanswered claim may be repeated with the same bytes.
	Claim(ctx context.Context, claims []*Checkpoint) (won []bool, err error)
	// Current returns the rows as they are; a missing row is the zero Row.
	Current(ctx context.Context, tasks []TaskID) ([]Row, error)
}

// Predecessors is an optional ability of a ClaimStore: the claimed rows of the same task on earlier incarnations of its
// topic. If there are any, the topic was deleted and created again under the task's checkpoint.
type Predecessors interface {
	Predecessors(ctx context.Context, task TaskID) (rows []string, err error)
}

// Peers is an optional ability of a ClaimStore: what the tasks of one stage that differ in the partition only know of each
// other, whichever worker runs them.
type Peers interface {
	// PeerRecords returns the claimed records of all of them, the task's own included.
	PeerRecords(ctx context.Context, task TaskID) (records [][]byte, err error)
	// PeerKeys returns what each partition's task has saved, and SaveKeys replaces the task's own.
	PeerKeys(ctx context.Context, task TaskID) (keys map[int32][]byte, err error)
	SaveKeys(ctx context.Context, task TaskID, keys []byte) error
}

// Journal is an optional ability of a ClaimStore: it finds the record that takes processes down. It costs nothing while nobody
// dies: deaths are counted by TakeOver and Claim themselves. What a fail-over of the store loses of it only costs more deaths.
type Journal interface {
	// Release says that the owner ends and its process goes on: that is no death. An isolation of the owner ends with it. A former
	// owner changes nothing.
	Release(ctx context.Context, task TaskID, owner string) error
	// Note replaces the task's entry, or deletes it if entry is nil. It tells whether owner still is the task's owner, else nothing
	// happens.
	Note(ctx context.Context, task TaskID, owner string, entry []byte) (mine bool, err error)
	// Isolate asks to be the one owner in isolation, or to stay it: at most one is, until its Release, until its task is taken over, or
	// until it has not asked again for IsolationLapse. It tells whether owner still is the task's owner, too.
	Isolate(ctx context.Context, task TaskID, owner string) (alone, mine bool, err error)
}

// IsolationLapse is how long an isolation lasts that is not asked for again, and IsolationSeen how long it is told of afterwards.
const (
	IsolationLapse = 15 * time.Second
	IsolationSeen  = 45 * time.Second
)

// Successions is an optional ability of a ClaimStore: one version of a pipeline follows another.
type Successions interface {
	// Succeed locks all rows of the tasks of an instance, hands them to turn in the order of their keys, and in the same
	// transaction writes what it returns: claims replace rows of those tasks, and take them from their present owners; fresh
	// rows are those of tasks that have none yet, else nothing is written and the error says so. turn may be called again.
	Succeed(ctx context.Context, instance string, turn func(rows []*Checkpoint) (claims, fresh []*Checkpoint, err error)) error
}

// Objects is the object store: keys with slashes, whole objects. Implementations are safe for concurrent use. Errors are
// Retry where the store is away; a missing object is an error that wraps fs.ErrNotExist.
type Objects interface {
	// Put writes the object, replacing what is there, and checks the stored size.
	Put(ctx context.Context, key string, data []byte) error
	// Copy copies within the store, and leaves the target as it is if it exists.
	Copy(ctx context.Context, from, to string) error
	Get(ctx context.Context, key string) ([]byte, error)
	// List calls f with every object under the prefix in key order.
	List(ctx context.Context, prefix string, f func(Object) error) error
	// Delete removes the object; a missing one is no error.
	Delete(ctx context.Context, key string) error
}

// Object describes a stored object.
type Object struct {
	Key      string
	Size     int64
	Modified Time
}
