package streamtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// alteredStore is a claim store of which calls are replaced. The fake beneath is right.
type alteredStore struct {
	stream.ClaimStore
	stream.Peers
	stream.Journal
	release  func(task stream.TaskID, owner string) error
	note     func(task stream.TaskID, owner string, entry []byte) (bool, error)
	isolate  func(task stream.TaskID, owner string) (alone, mine bool, err error)
	takeOver func(task stream.TaskID, owner string) (*stream.Checkpoint, error)
	claim    func(all []*stream.Checkpoint) ([]bool, error)
	current  func(tasks []stream.TaskID) ([]stream.Row, error)
	records  func(task stream.TaskID) ([][]byte, error)
	keys     func(task stream.TaskID) (map[int32][]byte, error)
}

func (a *alteredStore) TakeOver(ctx context.Context, task stream.TaskID, owner string) (*stream.Checkpoint, error) {
	if a.takeOver != nil {
		return a.takeOver(task, owner)
	}
	return a.ClaimStore.TakeOver(ctx, task, owner)
}

func (a *alteredStore) Claim(ctx context.Context, all []*stream.Checkpoint) ([]bool, error) {
	if a.claim != nil {
		return a.claim(all)
	}
	return a.ClaimStore.Claim(ctx, all)
}

func (a *alteredStore) Current(ctx context.Context, tasks []stream.TaskID) ([]stream.Row, error) {
	if a.current != nil {
		return a.current(tasks)
	}
	return a.ClaimStore.Current(ctx, tasks)
}

func (a *alteredStore) Release(ctx context.Context, task stream.TaskID, owner string) error {
	if a.release != nil {
		return a.release(task, owner)
	}
	return a.Journal.Release(ctx, task, owner)
}

func (a *alteredStore) Note(ctx context.Context, task stream.TaskID, owner string, entry []byte) (bool, error) {
	if a.note != nil {
		return a.note(task, owner, entry)
	}
	return a.Journal.Note(ctx, task, owner, entry)
}

func (a *alteredStore) Isolate(ctx context.Context, task stream.TaskID, owner string) (alone, mine bool, err error) {
	if a.isolate != nil {
		return a.isolate(task, owner)
	}
	return a.Journal.Isolate(ctx, task, owner)
}

func (a *alteredStore) PeerRecords(ctx context.Context, task stream.TaskID) ([][]byte, error) {
	if a.records != nil {
		return a.records(task)
	}
	return a.Peers.PeerRecords(ctx, task)
}

func (a *alteredStore) PeerKeys(ctx context.Context, task stream.TaskID) (map[int32][]byte, error) {
	if a.keys != nil {
		return a.keys(task)
	}
	return a.Peers.PeerKeys(ctx, task)
}

// TestRunStoreCatches plants a fault at a time.
func TestRunStoreCatches(t *testing.T) {
	ctx := t.Context()
	for name, fault := range map[string]struct {
		by     string
		change func(a *alteredStore, w *World)
	}{
		"a new row has an epoch": {"a new task has an empty row", func(a *alteredStore, _ *World) {
			a.takeOver = func(task stream.TaskID, owner string) (*stream.Checkpoint, error) {
				cp, err := a.ClaimStore.TakeOver(ctx, task, owner)
				cp.Epoch++
				return cp, err
			}
		}},
		"a take-over fences nobody": {"a take-over fences the owner before", func(a *alteredStore, w *World) {
			a.claim = func(all []*stream.Checkpoint) ([]bool, error) {
				for _, c := range all {
					w.mu.rows[c.Task.String()].Owner = c.Owner
				}
				return a.ClaimStore.Claim(ctx, all)
			}
		}},
		"any epoch may be claimed": {"an epoch is claimed once", func(a *alteredStore, w *World) {
			a.claim = func(all []*stream.Checkpoint) ([]bool, error) {
				for _, c := range all {
					w.mu.rows[c.Task.String()].Epoch = c.Epoch - 1
				}
				return a.ClaimStore.Claim(ctx, all)
			}
		}},
		"a repeated claim is lost": {"an unanswered claim may be repeated", func(a *alteredStore, w *World) {
			a.claim = func(all []*stream.Checkpoint) ([]bool, error) {
				won, err := a.ClaimStore.Claim(ctx, all)
				for _, c := range all {
					w.mu.rows[c.Task.String()].Record = slices.Concat(c.Record, []byte(" "))
				}
				return won, err
			}
		}},
		"all or nothing": {"a claim of several tasks wins those that are due", func(a *alteredStore, _ *World) {
			a.claim = func(all []*stream.Checkpoint) ([]bool, error) {
				won, err := a.ClaimStore.Claim(ctx, all)
				for i := range won {
					won[i] = won[i] && won[0] && won[len(won)/2]
				}
				return won, err
			}
		}},
		"rows in another order": {"rows can be looked at", func(a *alteredStore, _ *World) {
			a.current = func(tasks []stream.TaskID) ([]stream.Row, error) {
				rows, err := a.ClaimStore.Current(ctx, tasks)
				rows[0], rows[1] = rows[1], rows[0]
				return rows, err
			}
		}},
		"everybody has won": {"racing owners leave one content an epoch", func(a *alteredStore, _ *World) {
			a.claim = func(all []*stream.Checkpoint) ([]bool, error) {
				won, err := a.ClaimStore.Claim(ctx, all)
				fill(won, true)
				return won, err
			}
		}},
		"peers of another stage": {"peers know each other", func(a *alteredStore, _ *World) {
			a.keys = func(task stream.TaskID) (map[int32][]byte, error) {
				other := task
				other.Stage = "other"
				return a.Peers.PeerKeys(ctx, other)
			}
		}},
		"the newest record only": {"peers know each other", func(a *alteredStore, _ *World) {
			a.records = func(task stream.TaskID) ([][]byte, error) {
				records, err := a.Peers.PeerRecords(ctx, task)
				return records[:1], err
			}
		}},
		"a repeated take-over counts twice": {"deaths of owners are counted", func(a *alteredStore, w *World) {
			a.takeOver = func(task stream.TaskID, owner string) (*stream.Checkpoint, error) {
				w.mu.Lock()
				if row := w.mu.rows[task.String()]; row != nil && row.Owner == owner {
					w.mu.journal.attempts[task.String()]++
				}
				w.mu.Unlock()
				return a.ClaimStore.TakeOver(ctx, task, owner)
			}
		}},
		"a claim is no progress": {"deaths of owners are counted", func(a *alteredStore, w *World) {
			a.claim = func(all []*stream.Checkpoint) ([]bool, error) {
				w.mu.Lock()
				deaths := w.mu.journal.attempts[all[0].Task.String()]
				w.mu.Unlock()
				won, err := a.ClaimStore.Claim(ctx, all)
				w.mu.Lock()
				defer w.mu.Unlock()
				w.mu.journal.attempts[all[0].Task.String()] = deaths
				return won, err
			}
		}},
		"anybody releases": {"deaths of owners are counted", func(a *alteredStore, w *World) {
			a.release = func(task stream.TaskID, _ string) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.mu.journal.attempts[task.String()] = 0
				return nil
			}
		}},
		"anybody notes": {"an entry of the journal is its owner's", func(a *alteredStore, w *World) {
			a.note = func(task stream.TaskID, owner string, entry []byte) (bool, error) {
				w.mu.Lock()
				if row := w.mu.rows[task.String()]; row != nil {
					owner = row.Owner
				}
				w.mu.Unlock()
				return a.Journal.Note(ctx, task, owner, entry)
			}
		}},
		"two are isolated": {"one task is isolated at a time", func(a *alteredStore, w *World) {
			a.isolate = func(task stream.TaskID, owner string) (alone, mine bool, err error) {
				w.mu.Lock()
				w.mu.journal.isolated.task = ""
				w.mu.Unlock()
				return a.Journal.Isolate(ctx, task, owner)
			}
		}},
		"who was overtaken stays isolated": {"one task is isolated at a time", func(a *alteredStore, w *World) {
			var held string
			a.isolate = func(task stream.TaskID, owner string) (alone, mine bool, err error) {
				if held != "" && held != task.String() && w.mu.journal.isolated.task == held {
					return false, w.owns(task.String(), owner), nil
				}
				alone, mine, err = a.Journal.Isolate(ctx, task, owner)
				if alone {
					held = task.String()
				}
				return alone, mine, err
			}
		}},
		"losers decide": {"only winners insert decisions, each id once", func(a *alteredStore, w *World) {
			a.claim = func(all []*stream.Checkpoint) ([]bool, error) {
				for _, c := range all {
					for _, d := range c.Decisions {
						if _, ok := w.mu.byID[d.ID]; !ok {
							w.mu.byID[d.ID] = d.Body
							w.mu.decisions = append(w.mu.decisions, d)
						}
					}
				}
				return a.ClaimStore.Claim(ctx, all)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex // the faults reach into the world, and one part races
			caught(t, storeParts(func(testing.TB) (stream.ClaimStore, func() []string) {
				w := NewWorld()
				right := claims{NewLife(w, nil)}
				a := &alteredStore{ClaimStore: right, Peers: right, Journal: right}
				fault.change(a, w)
				if claim := a.claim; claim != nil {
					a.claim = func(all []*stream.Checkpoint) ([]bool, error) {
						mu.Lock()
						defer mu.Unlock()
						return claim(all)
					}
				}
				return a, func() (ids []string) {
					for _, d := range w.Decisions() {
						ids = append(ids, d.ID)
					}
					return ids
				}
			}, func(n int) stream.Decision {
				return stream.Decision{ID: fmt.Sprint(n), Body: fmt.Appendf(nil, "%d", n)}
			}), fault.by)
		})
	}
}
