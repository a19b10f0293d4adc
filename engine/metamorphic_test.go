package engine_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// TestMetamorphic is the property "what happens to the workers changes no answer". A history is a list of operations: records
// come, in order, late, or from the future, or make a step or the decoder panic, or fall out of the log; workers crash, stand still,
// drain, and give partitions to each other; dependencies fail, snapshots are damaged; time passes; a new version of the pipeline
// follows. In the end everything that was committed must equal one calm run over the same records, by one reader, without a
// worker, with the idle ticks and cuts that were claimed; and the ledger must equal plain code over the log.
//
// A failing history is shrunk and printed; -rapid.seed runs it again. With -histories they are run a thousand at a time, each with
// a seed of its own, from -seed on: after an interruption, go on with the seed that was told last.
func TestMetamorphic(t *testing.T) {
	if *histories > 0 {
		manyHistories(t, *histories)
		return
	}
	n := 1000
	if testing.Short() {
		n = 60
	}
	did := someHistories(t, n, 0)
	if missing := did.missing(); n >= 1000 && missing != "" {
		t.Errorf("%d histories test too little: %s", n, missing)
	}
	t.Log(did.String())
}

// atOnce is how many histories have one seed.
const atOnce = 1000

func manyHistories(t *testing.T, n int) {
	t.Helper()
	var did tally
	began := time.Now()
	for seed := *firstSeed; n > did.histories && !t.Failed(); seed++ {
		some := someHistories(t, min(atOnce, n-did.histories), uint64(seed))
		did.join(some)
		fmt.Fprintf(os.Stderr, "seed %d is done, %v: %d of %d histories, %v\n", seed, time.Since(began).Round(time.Second), did.histories, n, did.String())
	}
	if missing := did.missing(); did.histories >= 1000 && missing != "" {
		t.Errorf("they test too little: %s", missing)
	}
}

// someHistories draws them from a seed, 0 for any.
func someHistories(t *testing.T, n int, seed uint64) (did tally) {
	t.Helper()
	checkHistories(t, n, seed, func(m *metamorph) string {
		diff := m.run(t)
		did.add(m)
		return diff
	})
	return did
}

// checkHistories draws histories for a property that returns "" or what is wrong.
func checkHistories(t *testing.T, n int, seed uint64, property func(m *metamorph) string) {
	t.Helper()
	if testing.Short() {
		n *= 5 // rapid divides
	}
	flags := map[string]string{"rapid.checks": strconv.Itoa(n), "rapid.nofailfile": "true"}
	if seed > 0 {
		flags["rapid.seed"] = strconv.FormatUint(seed, 10)
	}
	for name, value := range flags {
		old := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = flag.Set(name, old) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := drawHistory(rt)
		if diff := property(m); diff != "" {
			rt.Fatalf("%s\nhistory:\n%s", diff, m)
		}
	})
}

// opKind is what an operation does.
type opKind uint8

const (
	opProduce opKind = iota
	opPass
	opCrash
	opRestart
	opMove
	opSteal
	opPause
	opWake
	opFault
	opOutage
	opUpgrade
	opFailOver
	opImmune
	opCompact
	opFlip
	opKinds
)

// op is one operation of a history.
type op struct {
	kind      opKind
	worker    int
	partition int // of the events, or behind those of the internal topic
	events    []metaEvent
	after     time.Duration // how long everybody works on before the next operation
	point     string
	fault     streamtest.Fault
	count     int
	outage    time.Duration
}

// metaEvent is a record by the event time that it is from the newest one of its partition.
type metaEvent struct {
	step time.Duration
	key  string
	bad  bool
	gone bool // the marker of a transaction: an offset that never held a record
	// panics says whom the record makes panic, "" for nobody.
	panics string
}

func (e metaEvent) String() string {
	switch {
	case e.gone:
		return "gap"
	case e.bad:
		return "bad"
	case e.panics != "":
		return e.panics
	}
	return fmt.Sprintf("%s%+.1fs", e.key, e.step.Seconds())
}

var faultNames = map[streamtest.Fault]string{
	streamtest.Crash: "crashes the worker", streamtest.CrashAfter: "succeeds and crashes the worker", streamtest.Fail: "fails",
	streamtest.LoseReply: "succeeds, the reply is lost", streamtest.Delay: "fails, and may happen later",
}

// String tells an operation to a person.
func (o op) String() string {
	var s string
	switch o.kind {
	case opProduce:
		s = fmt.Sprintf("partition %d gets %v", o.partition, o.events)
	case opPass:
		s = "time passes"
	case opCrash:
		s = fmt.Sprintf("worker %d is killed and starts again", o.worker)
	case opRestart:
		s = fmt.Sprintf("worker %d drains and starts again", o.worker)
	case opMove:
		s = fmt.Sprintf("partition %d moves to worker %d", o.partition, o.worker)
	case opSteal:
		s = fmt.Sprintf("worker %d runs partition %d before its owner lets go", o.worker, o.partition)
	case opPause:
		s = fmt.Sprintf("worker %d stands still, another one gets its partitions", o.worker)
	case opWake:
		s = "who stands still wakes up"
	case opFault:
		s = fmt.Sprintf("%d calls from now: %q %s", o.count, o.point, faultNames[o.fault])
	case opOutage:
		s = fmt.Sprintf("%q fails for %v", o.point, o.outage)
	case opUpgrade:
		s = "a new version of the pipeline follows"
	case opFailOver:
		s = fmt.Sprintf("the claim store fails over and loses at most %d transactions", o.count)
	case opImmune:
		s = fmt.Sprintf("worker %d starts again, nothing makes it panic and none of its claims arrives", o.worker)
	case opCompact:
		s = fmt.Sprintf("all workers die, offsets below the snapshots are gone but for each %d., all start again", o.count+1)
	case opFlip:
		s = fmt.Sprintf("bit %d of the newest snapshots of partition %d is flipped", o.count, o.partition)
	default:
		s = "unknown"
	}
	return fmt.Sprintf("%-70s then %v", s, o.after)
}

// metamorph is one history and its world.
type metamorph struct {
	*succeeding
	ops     []op
	workers int
	idle    time.Duration
	seed    uint64 // of portions and orders of reading

	plant plant // a fault, to see that it is found

	cutClaims []*stream.Checkpoint // of the upgrade
	running   []*metaWorker
	frozen    []*process
	owner     map[stream.Partition]int
	whole     *streamtest.World // the logs as they were before compaction
	log       [rekeySources][]metaRecord
	front     [rekeySources]time.Duration
	letters   letters
	faults    faultSchedule
	shipped   bool // the shipped dedupe instead of a map
	last      bool // no idle ticks, no faults: everything comes to its end
	crashes   int
	stood     int             // workers that stood still
	lost      int             // transactions, by fail-overs
	compacted int             // records
	flips     map[string]bool // objects that are damaged
	wrong     int             // live values that only lives have shown that never claimed
}

func (m *metamorph) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %d stages, %d workers, idle after %v, reading order %d\n", map[bool]int{false: 1, true: 2}[m.two], m.workers, m.idle, m.seed)
	for i, o := range m.ops {
		fmt.Fprintf(&b, "  %2d  %v\n", i+1, o)
	}
	return b.String()
}

func drawHistory(t *rapid.T) *metamorph {
	m := &metamorph{owner: map[stream.Partition]int{}}
	two := rapid.Bool().Draw(t, "two stages")
	m.workers = rapid.IntRange(1, 3).Draw(t, "workers")
	if rapid.Bool().Draw(t, "idle ticks") {
		m.idle = 500 * time.Millisecond
	}
	m.seed = rapid.Uint64Range(0, 1000).Draw(t, "reading order")
	m.shipped = rapid.IntRange(0, 2).Draw(t, "shipped dedupe") == 0
	m.ops = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) op { return drawOp(t, m.workers, two) }), 4, 24).Draw(t, "operations")
	m.calmBeforeUpgrade()
	m.fewPanics()
	m.whole, m.flips = streamtest.NewWorld(), map[string]bool{}
	h := &history{seed: m.seed, rng: rand.New(rand.NewPCG(m.seed, 1)), world: streamtest.NewWorld()}
	h.world.Strict, h.world.Forgetful = true, true
	m.succeeding = &succeeding{history: h, two: two}
	return m
}

func (m *metamorph) failsOver() bool {
	return slices.ContainsFunc(m.ops, func(o op) bool { return o.kind == opFailOver })
}

// fewPanics keeps so many records that panic that a partition is through with them in time: each takes three attempts, and many in
// a row stop the task.
func (m *metamorph) fewPanics() {
	var n [rekeySources]int
	for i := range m.ops {
		o := &m.ops[i]
		for j := range o.events {
			if o.events[j].panics == "" {
				continue
			}
			if n[o.partition]++; n[o.partition] > mostPanics {
				o.events[j].panics = ""
			}
		}
	}
}

const mostPanics = 5

// calmBeforeUpgrade keeps one upgrade, and no records from the future before it: those that have not moved the mark are
// missing in the new version, as the design says. A fail-over beside it loses nothing: it would lose the version with its cut.
func (m *metamorph) calmBeforeUpgrade() {
	at := slices.IndexFunc(m.ops, func(o op) bool { return o.kind == opUpgrade })
	for i := range m.ops {
		if i > at && m.ops[i].kind == opUpgrade {
			m.ops[i].kind = opPass
		}
		if at >= 0 && m.ops[i].kind == opFailOver {
			m.ops[i].count = 0
		}
		if i < at && m.ops[i].kind == opFlip { // the new version would inherit it
			m.ops[i].kind = opPass
		}
		for j := range m.ops[i].events {
			if e := &m.ops[i].events[j]; i < at && e.step > time.Minute {
				e.step = 50 * time.Second
			}
		}
	}
}

var metaPoints = []string{"take over", "claim", "put", "copy", "get", "write live", "append", "read", "open", "dead letter", "delete", "current", "peers", "log start"}

// metaOutages are without the calls of the fake producer, which like a real one repeats them inside, and takes no time for it.
var metaOutages = slices.DeleteFunc(slices.Clone(metaPoints), func(p string) bool { return p == "append" })

func drawOp(t *rapid.T, workers int, two bool) op {
	kinds := []opKind{
		opProduce, opProduce, opProduce, opProduce, opProduce, opPass, opCrash, opCrash, opRestart, opMove, opSteal, opPause, opWake,
		opFault, opFault, opFault, opOutage, opOutage, opUpgrade, opFailOver, opFailOver, opImmune, opCompact, opFlip,
	}
	o := op{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	o.worker = rapid.IntRange(0, workers-1).Draw(t, "worker")
	partitions := rekeySources
	if two && o.kind != opProduce {
		partitions += rekeyMerges
	}
	o.partition = rapid.IntRange(0, partitions-1).Draw(t, "partition")
	spans := []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond}
	switch o.kind {
	case opProduce:
		o.events = rapid.SliceOfN(rapid.Custom(drawEvent), 1, 12).Draw(t, "records")
	case opPass:
		spans = []time.Duration{time.Second, 4 * time.Second, 12 * time.Second, 40 * time.Second}
	case opFault:
		o.point = rapid.SampledFrom(metaPoints).Draw(t, "call")
		o.fault = rapid.SampledFrom(slices.Sorted(maps.Keys(faultNames))).Draw(t, "fault")
		o.count = rapid.IntRange(1, 6).Draw(t, "calls")
	case opFailOver:
		o.count = rapid.IntRange(0, 8).Draw(t, "transactions")
	case opCompact:
		o.count = rapid.IntRange(1, 5).Draw(t, "kept")
	case opFlip:
		o.count = rapid.IntRange(0, 9999).Draw(t, "bit")
	case opOutage:
		o.point = rapid.SampledFrom(append([]string{"write live", "write live", "write live"}, metaOutages...)).Draw(t, "call")
		spans = append(spans, 6*time.Second) // longer than a snapshot waits for live values
		o.outage = rapid.SampledFrom([]time.Duration{300 * time.Millisecond, 2 * time.Second, 9 * time.Second}).Draw(t, "for")
	default:
	}
	o.after = rapid.SampledFrom(spans).Draw(t, "then")
	return o
}

func drawEvent(t *rapid.T) metaEvent {
	e := metaEvent{key: rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "key")}
	switch rapid.IntRange(0, 12).Draw(t, "sort of record") {
	case 0, 1, 2, 3, 4, 5:
		e.step = time.Duration(rapid.IntRange(0, 50).Draw(t, "step")) * 100 * time.Millisecond
	case 6, 7:
		e.step = -time.Duration(rapid.IntRange(0, 40).Draw(t, "late")) * 100 * time.Millisecond
	case 8:
		e.step = -time.Duration(rapid.IntRange(5, 60).Draw(t, "very late")) * time.Second
	case 9:
		e.step = time.Duration(rapid.IntRange(1, 5).Draw(t, "future")) * 10 * time.Minute
	case 10:
		e.bad = true
	case 11:
		e.gone = true
	case 12:
		e.panics = rapid.SampledFrom([]string{poison, poison, rot}).Draw(t, "panics")
	}
	return e
}
