package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/pipelines"
	"github.com/tidewatch/tidewatch/stream"
)

// page is a client that does what the description of the protocol says, and nothing else.
type page struct {
	seq    uint64
	answer shown
	deltas int
	whole  int
}

// shown is an answer as a client reads it.
type shown struct {
	From            time.Time   `json:"from"`
	To              time.Time   `json:"to"`
	Step            string      `json:"step"`
	CompleteThrough *time.Time  `json:"complete_through"`
	SeriesTotal     int         `json:"series_total"`
	Series          []shownLine `json:"series"`
}

type shownLine struct {
	Pipeline string            `json:"pipeline"`
	Output   string            `json:"output"`
	Labels   map[string]string `json:"labels"`
	Columns  []string          `json:"columns"`
	Points   [][]*float64      `json:"points"`
}

func (l *shownLine) key() string { return fmt.Sprint(l.Pipeline, "/", l.Output, l.Labels) }

// message is what a client gets.
type message struct {
	Type    string          `json:"type"`
	ID      string          `json:"id"`
	Seq     uint64          `json:"seq"`
	At      time.Time       `json:"at"`
	Data    json.RawMessage `json:"data"`
	Problem *Problem        `json:"problem"`
	Reason  string          `json:"reason"`
}

// take applies a message.
func (p *page) take(t fataler, m *message) {
	var data shown
	if err := json.Unmarshal(m.Data, &data); err != nil {
		t.Fatalf("%s %s: %v", m.Type, m.Data, err)
	}
	switch m.Type {
	case "snapshot":
		p.whole++
		p.answer = data
	case "delta":
		p.deltas++
		if m.Seq != p.seq+1 {
			t.Fatalf("a delta to %d after %d", m.Seq, p.seq)
		}
		p.apply(&data)
	default:
		t.Fatalf("a message of type %s: %s", m.Type, m.Data)
	}
	p.seq = m.Seq
}

func (p *page) apply(d *shown) {
	a := &p.answer
	a.From, a.To, a.Step, a.CompleteThrough, a.SeriesTotal = d.From, d.To, d.Step, d.CompleteThrough, d.SeriesTotal
	for i := range d.Series {
		j := slices.IndexFunc(a.Series, func(l shownLine) bool { return l.key() == d.Series[i].key() })
		if j < 0 {
			a.Series = append(a.Series, d.Series[i])
			continue
		}
		for _, point := range d.Series[i].Points {
			k, found := slices.BinarySearchFunc(a.Series[j].Points, *point[0], func(have []*float64, at float64) int { return int(*have[0] - at) })
			if found {
				a.Series[j].Points[k] = point
			} else {
				a.Series[j].Points = slices.Insert(a.Series[j].Points, k, point)
			}
		}
	}
	for j := range a.Series {
		a.Series[j].Points = slices.DeleteFunc(a.Series[j].Points, func(point []*float64) bool { return int64(*point[0]) < a.From.UnixMilli() })
	}
	a.Series = slices.DeleteFunc(a.Series, func(l shownLine) bool { return len(l.Points) == 0 })
}

// text is what the client shows, in an order of its own.
func (s *shown) text(t fataler) string {
	slices.SortFunc(s.Series, func(a, b shownLine) int { return bytes.Compare([]byte(a.key()), []byte(b.key())) })
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(text)
}

// walking is a clock that a test moves.
type walking struct{ now *time.Time }

func (c walking) Now() time.Time                         { return *c.now }
func (c walking) After(d time.Duration) <-chan time.Time { return time.After(d / 1000) }

// TestPageShowsWhatIsAsked: whatever windows are written, replaced and emptied, in whatever order and while time goes by, a
// page that applies snapshots and deltas shows what a new question is answered with.
func TestPageShowsWhatIsAsked(t *testing.T) {
	deltas := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.output(RollupOutput{Pipeline: "p", Name: "o", Instance: "p@1", Groups: 1, Window: 10 * time.Second, Every: 10 * time.Second, Fields: fields("host:string avg:float n:int")},
			&pipelines.Description{Name: "p", Instance: "p@1", Topics: []string{"m"}, Rollups: []pipelines.Rollup{{Output: "o", Columns: []pipelines.RollupColumn{{Name: "avg", Function: "avg", Of: "v"}, {Name: "n", Function: "count", Of: "v"}}}}})
		now := nine.Add(5 * time.Minute)
		s, err := New(Config{Status: w, Alerts: w.alerts, Rollups: w, Log: w, Clock: walking{&now}, Limits: DefaultLimits(), Logger: discard()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.hub.close(t.Context())
		target := rapid.SampledFrom([]string{
			"/query?pipeline=p&last=2m", "/query?pipeline=p&last=3m&step=20s", "/query?pipeline=p&last=2m&by=&step=30s", "/query?pipeline=p&from=now-5m",
			"/query?pipeline=p&last=4m&top=1&order=n", "/query?pipeline=p&last=1m&where=host=a",
		}).Draw(t, "target")
		p, v := watch(t, s, w, target)
		shows := &page{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			change(t, w, &now)
			if rapid.IntRange(0, 3).Draw(t, "look") == 0 {
				continue // the panel was busy: several changes come at once
			}
			p.refresh(t.Context(), now)
			for m, _ := v.next(); m != nil; m, _ = v.next() {
				var got message
				if err := json.Unmarshal(m, &got); err != nil {
					t.Fatalf("%s: %v", m, err)
				}
				shows.take(t, &got)
			}
			c, err := s.resolve(target)
			if err != nil {
				t.Fatal(err)
			}
			rep, err := c.route.handle(t.Context(), s, c)
			if err != nil {
				t.Fatal(err)
			}
			var want shown
			text, err := json.Marshal(rep.body)
			if err == nil {
				err = json.Unmarshal(text, &want)
			}
			if err != nil {
				t.Fatal(err)
			}
			if have, want := shows.answer.text(t), want.text(t); p.ask.last > 0 && have != want {
				t.Fatalf("%s\nthe page shows %s\nthe answer is  %s", target, have, want)
			}
		}
		deltas += shows.deltas
	})
	if deltas == 0 {
		t.Error("no delta was ever sent")
	}
}

// watch subscribes without a connection: the test reads what is due.
func watch(t fataler, s *Server, w *world, target string) (*panel, *viewer) {
	v := newViewer(s)
	c, err := s.resolve(target)
	if err != nil {
		t.Fatalf("%v", err)
	}
	key, a, err := questionOf(c)
	if err != nil {
		t.Fatalf("%v", err)
	}
	sub := &subscription{viewer: v, id: "x"}
	v.add(sub)
	p := newPanel(s.hub, key, c, a)
	sub.panel = p
	p.join(sub)
	p.refresh(context.Background(), c.now) // follows the output
	<-w.listening("p/o")
	return p, v
}

// change is something that may happen to the world.
func change(t *rapid.T, w *world, now *time.Time) {
	switch rapid.IntRange(0, 5).Draw(t, "what") {
	case 0:
		*now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
	case 1: // nobody is told of it, so it shows a little later
		*now = now.Add(tailEvery)
		w.mu.Lock()
		w.mu.through["p/o"] = stream.TimeOf(*now).Floor(10 * time.Second)
		w.mu.Unlock()
	case 2: // something was missed
		w.tell("p/o", RollupNotice{Gap: true})
	default:
		var rows []row
		for _, host := range []string{"a", "b", "c"} {
			if rapid.Bool().Draw(t, host) {
				rows = append(rows, row{labels: []string{host}, values: []any{float64(rapid.IntRange(0, 9).Draw(t, "avg")), rapid.IntRange(1, 9).Draw(t, "n")}})
			}
		}
		start := stream.TimeOf(*now).Floor(10 * time.Second).Add(time.Duration(-rapid.IntRange(-1, 14).Draw(t, "window")) * 10 * time.Second)
		w.put("p/o", start, rows...)
	}
}
