package streamtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/tidewatch/tidewatch/stream"
)

// World is what survives crashes. Safe for concurrent use.
type World struct {
	// Strict makes a decision that is claimed twice a violation: an engine mutes its replays. Set before the first call.
	Strict bool
	// Forgetful lets FailOver lose transactions of the claim store. Set before the first call.
	Forgetful bool

	mu struct {
		sync.Mutex
		rows      map[string]*stream.Checkpoint
		decisions []stream.Decision
		byID      map[string][]byte
		keys      map[string][]byte // by task
		journal   journal
		objects   map[string][]byte
		live      map[string]LiveValue
		slots     map[string]erasure // of live values that have one
		erased    map[erasure]stream.Version
		timeline  int64
		past      []past               // before each of the last transactions
		claimed   []*stream.Checkpoint // all that were won
		logs      map[LogID][]stream.Message
		silent    bool // no broker answers: nothing can be read, and where the logs end is unknown
		violation error
		waited    bool
		delayed   []func() // effects of calls that were given up, run before later calls
	}
}

// LogID names a log of the world: a partition of a topic.
type LogID struct {
	Topic     string
	Partition int32
}

// LiveValue is a value with the version of who wrote it.
type LiveValue struct {
	Version stream.Version
	Content string
}

// NewWorld is empty.
func NewWorld() *World {
	w := &World{}
	w.mu.rows, w.mu.byID = map[string]*stream.Checkpoint{}, map[string][]byte{}
	w.mu.keys, w.mu.journal = map[string][]byte{}, newJournal()
	w.mu.objects, w.mu.live = map[string][]byte{}, map[string]LiveValue{}
	w.mu.logs, w.mu.erased, w.mu.slots = map[LogID][]stream.Message{}, map[erasure]stream.Version{}, map[string]erasure{}
	return w
}

// Append adds records to a log.
func (w *World) Append(id LogID, messages ...stream.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range messages {
		m.Offset = int64(len(w.mu.logs[id]))
		w.mu.logs[id] = append(w.mu.logs[id], m)
	}
}

// Rows returns the rows of the claim store by task.
func (w *World) Rows() map[string]stream.Checkpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	rows := map[string]stream.Checkpoint{}
	for task, row := range w.mu.rows {
		rows[task] = *row
	}
	return rows
}

// Live returns what versioned receivers hold.
func (w *World) Live() map[string]LiveValue {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.mu.live)
}

// LoseLive makes versioned receivers forget everything.
func (w *World) LoseLive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.mu.live)
	clear(w.mu.erased)
}

// Decisions returns the inserted decisions in the order of their ids.
func (w *World) Decisions() []stream.Decision {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := slices.Clone(w.mu.decisions)
	slices.SortFunc(d, func(a, b stream.Decision) int { return strings.Compare(a.ID, b.ID) })
	return d
}

// Visible returns the objects that are not staged.
func (w *World) Visible() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]string{}
	for k, v := range w.mu.objects {
		if !strings.HasPrefix(k, "state/") {
			seen[k] = string(v)
		}
	}
	return seen
}

// Row returns a copy of the row, nil if there is none.
func (w *World) Row(task stream.TaskID) *stream.Checkpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	row := w.mu.rows[task.String()]
	if row == nil {
		return nil
	}
	c := *row
	return &c
}

// Violation is the first broken invariant that a fake has seen: a row that went back, one id with two contents, a visible
// object that was to be overwritten with other bytes.
func (w *World) Violation() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.violation
}

// violated must be called with the lock held.
func (w *World) violated(format string, args ...any) {
	if w.mu.violation == nil {
		w.mu.violation = fmt.Errorf(format, args...)
	}
}

// ErrCrash ends a life: every call of it fails from then on.
var ErrCrash = errors.New("the process has crashed")

// Fault is what may happen to a call.
type Fault uint8

// The faults. Those of a reply come after the effect.
const (
	None Fault = iota
	Crash
	CrashAfter // the effect happens, then the process dies
	Fail       // no effect, the error is Retry
	LoseReply  // the effect happens, the error is Retry
	Pause      // the process stands still until Resume
	Delay      // the error is Retry, and the effect comes later, between calls of others; for claims, else Fail
)

// Plan decides the fault of the next call. It may be called from several goroutines of the life.
type Plan func(point string) Fault

// RandomPlan is a plan that draws faults with the given chances in 1,000 calls.
func RandomPlan(r *rand.Rand, perMille map[Fault]int) Plan {
	var mu sync.Mutex
	return func(string) Fault {
		mu.Lock()
		defer mu.Unlock()
		n := r.IntN(1000)
		for f := Crash; f <= Delay; f++ {
			if n -= perMille[f]; n < 0 {
				return f
			}
		}
		return None
	}
}

// Life is one process. Its fakes implement the contracts over the World.
type Life struct {
	W    *World
	plan Plan
	dead chan struct{}
	once sync.Once

	mu struct {
		sync.Mutex
		paused chan struct{} // not nil while paused
	}
	stopped chan struct{} // closed when it was paused for the first time
	stop    sync.Once
}

// NewLife begins a process; plan may be nil for one without faults.
func NewLife(w *World, plan Plan) *Life {
	return &Life{W: w, plan: plan, dead: make(chan struct{}), stopped: make(chan struct{})}
}

// Dead is closed by a crash.
func (l *Life) Dead() <-chan struct{} { return l.dead }

// Paused is closed when the life is paused for the first time.
func (l *Life) Paused() <-chan struct{} { return l.stopped }

// Kill crashes the process.
func (l *Life) Kill() { l.once.Do(func() { close(l.dead) }) }

// Resume wakes a paused process.
func (l *Life) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.paused != nil {
		close(l.mu.paused)
		l.mu.paused = nil
	}
}

func (l *Life) alive() bool {
	select {
	case <-l.dead:
		return false
	default:
		return true
	}
}

// Call runs effect with the fault that the plan has for it: how tests put faults beneath what is no fake. point names the
// call for the plan; it returns ErrCrash once the process is dead.
func (l *Life) Call(point string, effect func() error) error { return l.call(point, effect) }

// Over is a real store as the process sees it.
func (l *Life) Over(o stream.Objects) stream.Objects { return over{l, o} }

// call runs effect with the fault that the plan has for it.
func (l *Life) call(point string, effect func() error) error {
	l.wait()
	fault := None
	if l.plan != nil && l.alive() {
		fault = l.plan(point)
	}
	switch fault {
	case Crash:
		l.Kill()
	case Pause:
		l.pause()
	case Delay, Fail:
		if fault == Delay && point == "claim" {
			l.W.delay(func() { _ = effect() }) // nobody waits for the answer
		}
		return stream.Mark(stream.Retry, fmt.Errorf("%s: injected failure", point))
	case None, CrashAfter, LoseReply:
	}
	if !l.alive() {
		return ErrCrash
	}
	if point == "claim" || point == "take over" {
		l.W.arrive()
	}
	err := effect()
	switch fault {
	case CrashAfter:
		l.Kill()
		return ErrCrash
	case LoseReply:
		return stream.Mark(stream.Retry, fmt.Errorf("%s: the reply was lost", point))
	case None, Crash, Fail, Pause, Delay:
	}
	return err
}

// delay keeps an effect for later.
func (w *World) delay(effect func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.delayed = append(w.mu.delayed, effect)
}

// arrive lets a delayed effect happen once two are waiting or another call follows, so some overtake others.
func (w *World) arrive() {
	w.mu.Lock()
	var effect func()
	if n := len(w.mu.delayed); n > 0 && w.mu.waited {
		effect, w.mu.delayed = w.mu.delayed[n-1], w.mu.delayed[:n-1]
	}
	w.mu.waited = len(w.mu.delayed) > 0 && !w.mu.waited
	w.mu.Unlock()
	if effect != nil {
		effect()
	}
}

func (l *Life) pause() {
	l.mu.Lock()
	if l.mu.paused == nil {
		l.mu.paused = make(chan struct{})
	}
	l.mu.Unlock()
	l.stop.Do(func() { close(l.stopped) })
	l.wait()
}

// wait blocks while the life is paused.
func (l *Life) wait() {
	l.mu.Lock()
	p := l.mu.paused
	l.mu.Unlock()
	if p == nil {
		return
	}
	select {
	case <-p:
	case <-l.dead:
	}
}

// Objects is a fake object store of a life.
func (l *Life) Objects() stream.Objects { return objects{l} }

type objects struct{ l *Life }

// Put implements stream.Objects.
func (o objects) Put(_ context.Context, key string, data []byte) error {
	return o.l.call("put", func() error {
		o.l.W.mu.Lock()
		defer o.l.W.mu.Unlock()
		if old, ok := o.l.W.mu.objects[key]; ok && string(old) != string(data) {
			o.l.W.violated("object %s is written with other bytes", key)
		}
		o.l.W.mu.objects[key] = slices.Clone(data)
		return nil
	})
}

// Copy implements stream.Objects.
func (o objects) Copy(_ context.Context, from, to string) error {
	return o.l.call("copy", func() error {
		o.l.W.mu.Lock()
		defer o.l.W.mu.Unlock()
		data, ok := o.l.W.mu.objects[from]
		old, there := o.l.W.mu.objects[to]
		switch {
		case !ok && !there:
			return fmt.Errorf("copy %s: %w", from, fs.ErrNotExist)
		case !there:
			o.l.W.mu.objects[to] = data
		case ok && string(old) != string(data):
			o.l.W.violated("visible object %s would be overwritten with other bytes", to)
		}
		return nil
	})
}

// Get implements stream.Objects.
func (o objects) Get(_ context.Context, key string) (data []byte, err error) {
	err = o.l.call("get", func() error {
		o.l.W.mu.Lock()
		defer o.l.W.mu.Unlock()
		found, ok := o.l.W.mu.objects[key]
		if !ok {
			return fmt.Errorf("get %s: %w", key, fs.ErrNotExist)
		}
		data = slices.Clone(found)
		return nil
	})
	return data, err
}

// List implements stream.Objects.
func (o objects) List(_ context.Context, prefix string, f func(stream.Object) error) error {
	o.l.W.mu.Lock()
	var found []stream.Object
	for _, k := range slices.Sorted(maps.Keys(o.l.W.mu.objects)) {
		if strings.HasPrefix(k, prefix) {
			found = append(found, stream.Object{Key: k, Size: int64(len(o.l.W.mu.objects[k]))})
		}
	}
	o.l.W.mu.Unlock()
	for _, object := range found {
		if err := f(object); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements stream.Objects.
func (o objects) Delete(_ context.Context, key string) error {
	return o.l.call("delete", func() error {
		o.l.W.mu.Lock()
		defer o.l.W.mu.Unlock()
		if row := o.l.W.naming(key); row != "" {
			o.l.W.violated("object %s is deleted, though the row of %s names it", key, row)
		}
		delete(o.l.W.mu.objects, key)
		return nil
	})
}

// naming is the task whose row names the object: as part of a snapshot, or below the prefix of a receipt.
func (w *World) naming(key string) (task string) {
	for _, row := range w.mu.rows {
		for _, m := range namedObject.FindAllStringSubmatch(string(row.Record), -1) {
			if m[1] == "object" && m[2] == key || m[1] == "prefix" && strings.HasPrefix(key, m[2]) {
				return row.Task.String()
			}
		}
	}
	return ""
}

var namedObject = regexp.MustCompile(`"(object|prefix)":"([^"]+)"`)

// Flip changes one bit of an object, which is counted from its beginning and begins there again behind its end.
func (w *World) Flip(key string, bit int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	data := slices.Clone(w.mu.objects[key])
	data[bit/8%len(data)] ^= 1 << (bit % 8)
	w.mu.objects[key] = data
}
