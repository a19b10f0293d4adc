package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// controlsOf lists the control records of a task that were claimed, and that no fail-over has lost, in order; without those of
// quarantine, since the calm run sets aside by itself.
func (m *metamorph) controlsOf(task stream.TaskID) (all []stream.Control) {
	for _, cp := range slices.Concat(m.cutClaims, m.world.Claimed()) {
		if k := recordOf(cp).Control; k != nil && cp.Task == task && k.Kind != "quarantine" {
			k.Inherit = nil // a calm run has seen it all by itself
			all = append(all, *k)
		}
	}
	slices.SortFunc(all, func(x, y stream.Control) int { return x.At.Compare(y.At) })
	for i := range all {
		all[i].At.Step = uint32(i + 1)
	}
	return all
}

// cutSpy notes the claims of a cut.
type cutSpy struct {
	stream.Successions
	claims []*stream.Checkpoint
}

// Succeed implements stream.Successions.
func (s *cutSpy) Succeed(ctx context.Context, instance string, turn func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error)) error {
	return s.Successions.Succeed(ctx, instance, func(rows []*stream.Checkpoint) (claims, fresh []*stream.Checkpoint, err error) {
		claims, fresh, err = turn(rows)
		s.claims = slices.Concat(claims, fresh)
		return claims, fresh, err
	})
}

// answers is what a run has committed.
type answers struct {
	live, files, decisions map[string]string
	ledger                 string
}

func newAnswers() answers {
	return answers{live: map[string]string{}, files: map[string]string{}, decisions: map[string]string{}}
}

// calm is the run that nothing happens to: engine.Local over the logs of the history.
func (m *metamorph) calm() (a answers, err error) {
	a = newAnswers()
	var calm letters
	for n := 1; n <= 2; n++ {
		if n == 2 && !m.begun {
			break
		}
		world := streamtest.NewWorld()
		life := streamtest.NewLife(world, nil)
		local := &engine.Local{Clock: clock.System{}, Objects: life.Objects(), Decide: func(d stream.Decision) error {
			if m.answersFor(n, d.ID) {
				a.decisions[d.ID] = string(d.Body)
			}
			return nil
		}}
		p := m.plan(life, n)
		res, err := local.Run(context.Background(), p, m.inputs(p, &calm))
		if err != nil {
			return a, fmt.Errorf("calm run of version %d: %w", n, err)
		}
		if n == 1 {
			set := m.panics()
			res.Ledger[stream.BucketQuarantined], res.Ledger[stream.BucketRejected] = set, res.Ledger[stream.BucketRejected]-set
			a.ledger = fmt.Sprint(res.Ledger.Map())
		}
		for k, v := range world.Live() {
			if _, rest, _ := strings.Cut(k, "|"); m.answersFor(n, rest) {
				a.live[k] = v.Content
			}
		}
		for k, v := range world.Visible() {
			if m.answersFor(n, k) {
				a.files[k] = v
			}
		}
	}
	maps.Copy(a.live, calm.all)
	return a, nil
}

// panics is how many records make workers panic.
func (m *metamorph) panics() (n int64) {
	for _, log := range m.log {
		for _, r := range log {
			if r.panics != "" {
				n++
			}
		}
	}
	return n
}

// answersFor reports whether the version answers for the window that is named in the key, or in the id.
func (m *metamorph) answersFor(version int, key string) bool {
	if !m.begun {
		return true
	}
	for _, part := range strings.FieldsFunc(key, func(r rune) bool { return r == '|' || r == '/' || r == ' ' }) {
		if at, err := time.Parse(time.RFC3339Nano, part); err == nil {
			return (stream.TimeOf(at) >= m.cut) == (version == 2)
		}
	}
	return true
}

func (m *metamorph) inputs(p *engine.Plan, dead *letters) (inputs []engine.LocalInput) {
	for n := range int32(rekeySources) {
		at := stream.Partition{Topic: "events", Number: n}
		task := stream.TaskID{Instance: p.Instance, Stage: p.Stages[0].Name, Partition: at}
		source := streamtest.NewLife(m.whole, nil).Source(m.topics(), rand.New(rand.NewPCG(1, uint64(n))))
		inputs = append(inputs, engine.LocalInput{
			Partition: at, Partitions: rekeySources, Controls: m.controlsOf(task),
			Open: func(ctx context.Context, d stream.Decoder) (stream.Reader, error) {
				r, err := source.Open(ctx, at, 0, gapDecoder{d})
				return atEnd{r, at, dead}, err
			},
		})
	}
	return inputs
}

// atEnd ends where the log does, and notes what is rejected.
type atEnd struct {
	stream.Reader
	of   stream.Partition
	dead *letters
}

// Read implements stream.Reader.
func (b atEnd) Read(ctx context.Context) (*stream.Input, error) {
	in, err := b.Reader.Read(ctx)
	if err == nil && in.Next == in.From {
		return nil, io.EOF
	}
	for i := range in.Rejected {
		b.dead.note(b.of, &in.Rejected[i])
	}
	return in, err
}

// committed is what the history has left behind; windows that the old version has shown before it knew of the cut are not its
// answer.
func (m *metamorph) committed() answers {
	a := newAnswers()
	a.files = m.world.Visible()
	generations := m.generations()
	for k, v := range a.files { // what was final before a record was quarantined is not shown again
		version, rest, _ := strings.Cut(k, "/")
		if k := version + "|" + strings.ReplaceAll(rest, "/", "|"); generations[m.taskOf(k)] > 0 {
			a.live[k] = v
		}
	}
	for k, v := range m.world.Live() {
		generation := int64(0)
		if g, rest, named := strings.Cut(k, "#"); named {
			generation, _ = strconv.ParseInt(g, 10, 64)
			k = rest
		}
		if version, rest, _ := strings.Cut(k, "|"); !m.answersFor(int(version[0]-'0'), rest) {
			continue
		}
		if generation == generations[m.taskOf(k)] {
			a.live[k] = v.Content
		} else {
			m.wrong++
		}
	}
	maps.Copy(a.live, m.letters.all)
	for _, d := range m.world.Decisions() {
		a.decisions[d.ID] = string(d.Body)
	}
	var sum stream.Ledger
	for _, row := range m.world.Rows() {
		rec := recordOf(&row)
		if row.Task.Instance == "counts@1" && row.Task.Partition.Topic == "events" {
			sum.Add(&rec.Ledger)
		}
	}
	a.ledger = fmt.Sprint(sum.Map())
	return a
}

// taskOf names the task that shows a live value, if it is one of a stage whose values depend on its generation: the version and the
// partition, which the key ends with.
func (m *metamorph) taskOf(key string) string {
	if m.two {
		return ""
	}
	return key[:1] + key[len(key)-1:]
}

// generations are those of the tasks by the names that taskOf gives.
func (m *metamorph) generations() map[string]int64 {
	all := map[string]int64{}
	for _, row := range m.world.Rows() {
		if row.Task.Partition.Topic == "events" && !m.two {
			version := row.Task.Instance[len(row.Task.Instance)-1:]
			all[version+strconv.Itoa(int(row.Task.Partition.Number))] = recordOf(&row).Generation
		}
	}
	return all
}

func recordOf(row *stream.Checkpoint) *stream.Record {
	rec := &stream.Record{}
	if len(row.Record) > 0 {
		if err := json.Unmarshal(row.Record, rec); err != nil {
			panic(err)
		}
	}
	return rec
}

// unaccounted says which task has not read its log, or whose ledger is not the offsets that it has passed.
func (m *metamorph) unaccounted() string {
	for name, row := range m.world.Rows() {
		rec := recordOf(&row)
		if sum := rec.Ledger.Sum(); sum != rec.At.Offset-rec.First {
			return fmt.Sprintf("ledger of %s: its sum is %d, offsets %d to %d were passed", name, sum, rec.First, rec.At.Offset)
		}
		if q := rec.Ledger[stream.BucketQuarantined]; q != rec.Generation {
			return fmt.Sprintf("ledger of %s: %d records are quarantined in generation %d", name, q, rec.Generation)
		}
		if end := m.end(row.Task.Partition); rec.At.Offset != end {
			return fmt.Sprintf("ledger of %s: claimed up to offset %d, the log ends at %d", name, rec.At.Offset, end)
		}
	}
	return ""
}

// end is the length of a log.
func (m *metamorph) end(p stream.Partition) int64 {
	source := streamtest.NewLife(m.world, nil).Source(m.topics(), m.rng)
	end, err := source.LogEnd(context.Background(), p)
	if err != nil {
		panic(err)
	}
	return end
}

// check compares with the calm run.
func (m *metamorph) check() string {
	if err := m.world.Violation(); err != nil {
		return err.Error()
	}
	if m.letters.bad != "" {
		return m.letters.bad
	}
	want, err := m.calm()
	if err != nil {
		return err.Error()
	}
	got := m.committed()
	for _, c := range []struct {
		what      string
		got, want map[string]string
	}{{"final rollups", got.files, want.files}, {"decisions", got.decisions, want.decisions}, {"live values", got.live, want.live}} {
		if d := diff(c.got, c.want); d != "" {
			return c.what + ": " + d
		}
	}
	if got.ledger != want.ledger {
		return fmt.Sprintf("ledger: %s, in a calm run %s", got.ledger, want.ledger)
	}
	if plain := m.plainLedger(); !m.shipped && got.ledger != plain {
		return fmt.Sprintf("ledger: %s, by plain code %s", got.ledger, plain)
	}
	return m.unaccounted()
}

// tally is what so many histories have tested.
type tally struct {
	histories, crashes, ticks, cuts, frozen, lost, decisions int
	quarantined, wrong, compacted, flips                     int
	kinds                                                    [opKinds]int
}

func (y *tally) join(other tally) {
	for _, n := range []struct{ to, from *int }{
		{&y.histories, &other.histories},
		{&y.crashes, &other.crashes},
		{&y.ticks, &other.ticks},
		{&y.cuts, &other.cuts},
		{&y.frozen, &other.frozen},
		{&y.lost, &other.lost},
		{&y.decisions, &other.decisions},
		{&y.quarantined, &other.quarantined},
		{&y.wrong, &other.wrong},
		{&y.compacted, &other.compacted},
		{&y.flips, &other.flips},
	} {
		*n.to += *n.from
	}
	for i, n := range other.kinds {
		y.kinds[i] += n
	}
}

func (y *tally) add(m *metamorph) {
	y.histories++
	y.crashes += m.crashes
	y.frozen += m.stood
	y.decisions += len(m.world.Decisions())
	if m.cut > 0 {
		y.cuts++
	}
	for _, o := range m.ops {
		y.kinds[o.kind]++
	}
	y.lost += m.lost
	y.quarantined += int(m.panics())
	y.wrong += m.wrong
	y.compacted += m.compacted
	y.flips += len(m.flips)
	for _, cp := range m.world.Claimed() {
		if k := recordOf(cp).Control; k != nil && k.Kind == "tick" {
			y.ticks++
		}
	}
}

func (y *tally) String() string {
	return fmt.Sprintf("%d histories: %d crashes, %d frozen workers, %d idle ticks, %d cuts, %d lost transactions, %d decisions, %d quarantined records, "+
		"%d values of earlier generations, %d compacted records, %d damaged snapshots, operations by kind %v",
		y.histories, y.crashes, y.frozen, y.ticks, y.cuts, y.lost, y.decisions, y.quarantined, y.wrong, y.compacted, y.flips, y.kinds)
}

// missing says what a thousand histories must have had, and have not.
func (y *tally) missing() string {
	for what, n := range map[string]int{
		"crashes": y.crashes, "frozen workers": y.frozen, "idle ticks": y.ticks, "cuts": y.cuts, "lost transactions": y.lost, "decisions": y.decisions,
		"quarantined records": y.quarantined, "values of earlier generations": y.wrong, "compacted records": y.compacted, "damaged snapshots": y.flips,
	} {
		if n < y.histories/20 {
			return fmt.Sprintf("%d %s", n, what)
		}
	}
	for kind, n := range y.kinds {
		if n == 0 {
			return fmt.Sprintf("no operation of kind %d", kind)
		}
	}
	return ""
}
