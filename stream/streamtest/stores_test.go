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
				a := &alteredStore{ClaimStore: right, Peers: right}
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
