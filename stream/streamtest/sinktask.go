package streamtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// sinkTask is a task with one sink, as far as a sink can see it: its row, and the processes that own it one after the
// other. What they do follows engine/task.go, commit.go and takeover.go.
type sinkTask struct {
	t        testing.TB
	h        *sinkRun
	rng      *rand.Rand // nil: nothing happens by chance
	steps    []SinkStep
	receiver SinkReceiver
	world    *World

	// What happens.
	dieAt    int  // the call that kills the first owner; 0 none
	deaths   int  // owners that die at random
	zombies  bool // they wake up and go on for a while
	plan     Plan
	shows    map[string]string // all that may ever be visible; nil: anything
	repeats  bool              // reveals are repeated
	beside   bool              // works run beside the task
	cancels  bool              // works and reveals are cancelled first
	verifies bool              // snapshots are tried out

	// The row.
	claimed     int // steps covered
	claimedMark stream.Time
	staged      []stream.Receipt // not revealed yet
	state       []byte           // of the newest snapshot
	stateAt     int              // steps it covers

	all    []stream.Receipt // ever claimed
	calls  int
	owners int
	gone   []*sinkOwner
}

func (k *sinkTask) open() *sinkOwner {
	k.t.Helper()
	k.owners++
	o := &sinkOwner{k: k, id: fmt.Sprintf("owner%d", k.owners), mark: stream.NoTime, record: stream.NoTime, until: len(k.steps)}
	if o.commits = k.rng; k.beside {
		o.commits = rand.New(rand.NewPCG(k.rng.Uint64(), 4))
	}
	o.life = NewLife(k.world, k.plan)
	k.t.Cleanup(o.life.Kill)
	o.sink = k.receiver.Open(k.t, o.life)
	return o
}

// run lets owners live until one has finished, and the others are gone.
func (k *sinkTask) run() {
	k.t.Helper()
	for lives := 0; ; lives++ {
		if lives > 60 {
			k.t.Fatal("no owner gets to the end")
		}
		if lives > 30 {
			k.plan, k.deaths = nil, 0
		}
		o := k.open()
		err := o.live()
		err = errors.Join(err, o.join())
		switch {
		case err == nil:
			o.close()
			k.bury(0)
			return
		case errors.Is(err, errDied):
			k.dieAt, k.deaths = 0, k.deaths-1
			if o.killed = chance(k.rng, 2); o.killed {
				o.life.Kill()
			}
			k.gone = append(k.gone, o)
			k.partial()
		case stream.KindOfError(err) == stream.Retry && k.plan != nil:
			o.close() // the task takes over anew
		default:
			k.t.Fatal(err)
		}
	}
}

// partial checks, in the middle of a history, that everything visible is what it will be in the end.
func (k *sinkTask) partial() {
	k.t.Helper()
	if k.shows == nil {
		return
	}
	for name, content := range k.receiver.Visible(k.t) {
		if want, ok := k.shows[name]; !ok || want != content {
			k.t.Fatalf("%s is visible in the middle of a history, but not in the end, or with other bytes", name)
		}
	}
}

// bury closes owners that died: so late that they may have sent something after their successors. Some wake up before.
func (k *sinkTask) bury(keep int) {
	k.t.Helper()
	for len(k.gone) > keep {
		z := k.gone[0]
		k.gone = k.gone[1:]
		if k.zombies && !z.killed && chance(k.rng, 2) {
			z.wake()
		}
		if err := z.sink.Close(); err != nil && !z.killed {
			k.t.Fatalf("close of an owner that was overtaken: %v", err)
		}
	}
}

func (k *sinkTask) dies() bool {
	k.calls++
	return k.dieAt > 0 && k.calls == k.dieAt || k.deaths > 0 && chance(k.rng, 8)
}

// insist repeats a call while it fails for reasons that pass.
func (k *sinkTask) insist(what string, do func() error) error {
	for range 1000 {
		err := do()
		if err == nil || stream.KindOfError(err) != stream.Retry || k.plan == nil {
			return err
		}
	}
	return fmt.Errorf("%s fails a thousand times", what)
}
