package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The oracle says what must come out, from what lies in the topics alone. It is written against the words of
// docs/design/engine.md, with maps and loops, and shares nothing with the engine.

// logged is a record of a topic.
type logged struct {
	partition int32
	offset    int64
	at        int64 // of the broker
	value     []byte

	valid  bool
	aside  bool // a window falls over it
	fat    bool // too long for the topic of late events
	time   int64
	host   string
	number int64
	late   bool   // refused by its window
	behind bool   // its window was closed
	group  string // that it is counted in
	front  int64  // the highest event time of its partition that counts, with this record
}

// rules are what a pipeline is told beside the constants, and what has become of it.
type rules struct {
	keyed bool  // each partition decides for itself, else all decide on the lowest mark
	most  int   // groups that a partition keeps of a window; 0 is no limit
	cut   int64 // from which another version of the pipeline counts, with nextHold; 0 for none
}

// Hosts that windows fall over, and the group of those that find no room.
const (
	hostPanics = "fault-panic"
	hostKills  = "fault-kill"
	otherGroup = "(other)"
)

// cell is a group in a window.
type cell struct {
	start int64
	host  string
}

// row is what a rollup holds.
type row struct{ samples, total, least, most int64 }

// transition is a change of an alert.
type transition struct {
	host, state string
	at          int64
}

// truth is what must come out of one pipeline.
type truth struct {
	rollups     map[cell]row
	files       map[cell]row // what lies in files of rollups
	transitions map[transition]bool
	split       map[cell]bool      // with rows of two partitions: a key has moved
	held        map[string][]int64 // by host: ends of the windows for which the condition held
	raw         map[string]*logged // by place: what lies in the archive
	letters     map[string]string  // by place: the kind of the dead letter
	ledger      map[string]int64
	mark        int64 // at the end; of a keyed pipeline the lowest
}

func (l *logged) place() string { return fmt.Sprintf("%d/%d", l.partition, l.offset) }

// read decodes a record and judges it against the mark that it travelled with.
func (l *logged) read(front *int64) {
	var e struct {
		Time  *int64   `json:"time"`
		Host  *string  `json:"host"`
		Value *float64 `json:"value"`
		Note  string   `json:"note"`
	}
	defer func() { l.front = *front }()
	d := json.NewDecoder(bytes.NewReader(l.value))
	if d.Decode(&e) != nil || e.Time == nil || e.Host == nil || e.Value == nil {
		return
	}
	l.time, l.host, l.number = *e.Time, *e.Host, int64(*e.Value)
	if l.aside = l.host == hostPanics || l.host == hostKills; l.aside {
		return
	}
	l.valid, l.fat, l.group = true, len(e.Note) > lateBytes, l.host
	if *front != math.MinInt64 {
		mark := *front - outOfOrder
		end := l.start() + windowSize
		l.late, l.behind = end+lateness <= mark, end <= mark
	}
	if *front == math.MinInt64 || l.time <= *front+maxJump { // a lonely jump moves nothing
		*front = max(*front, l.time)
	}
}

func (l *logged) start() int64 { return l.time - l.time%windowSize }

// judge computes the truth of a pipeline over all records of a topic, which come partition by partition, in offset order.
func judge(records []*logged, by rules) *truth {
	t := &truth{
		rollups: map[cell]row{}, files: map[cell]row{}, transitions: map[transition]bool{}, held: map[string][]int64{}, split: map[cell]bool{}, raw: map[string]*logged{},
		letters: map[string]string{}, ledger: map[string]int64{}, mark: math.MaxInt64,
	}
	fronts := map[int32]*int64{}
	last := map[int32]int64{}
	groups := crowd{}
	for _, l := range records {
		front, ok := fronts[l.partition]
		if !ok {
			front = new(int64)
			*front = math.MinInt64
			fronts[l.partition] = front
		}
		l.read(front)
		last[l.partition] = l.at / rawSlot
		switch {
		case l.aside:
			t.letters[l.place()] = "quarantined"
			t.ledger["quarantined"]++
		case !l.valid:
			t.letters[l.place()] = "rejected"
			t.ledger["rejected"]++
		case l.late:
			t.ledger["late"]++
		case l.behind:
			t.ledger["revised"]++
		default:
			t.ledger["counted"]++
		}
		if by.most > 0 && l.valid && !l.late {
			l.group = groups.admit(l, by.most)
		}
	}
	for _, front := range fronts {
		t.mark = min(t.mark, *front-outOfOrder)
	}
	for _, l := range records {
		if (l.valid || l.aside) && l.at/rawSlot < last[l.partition] {
			t.raw[l.place()] = l
		}
	}
	if by.keyed {
		for p, front := range fronts {
			t.decide(slices.DeleteFunc(slices.Clone(records), func(l *logged) bool { return l.partition != p }), *front-outOfOrder, by)
		}
		return t
	}
	t.decide(records, t.mark, by)
	return t
}

// crowd is which groups each partition keeps of a window.
type crowd map[crowded]map[string]bool

type crowded struct {
	partition int32
	start     int64
}

// admit is the group that a record is counted in: its own one, if that has come among the first.
func (c crowd) admit(l *logged, most int) string {
	at := crowded{l.partition, l.start()}
	if c[at] == nil {
		c[at] = map[string]bool{}
	}
	if !c[at][l.host] {
		if len(c[at]) == most {
			return otherGroup
		}
		c[at][l.host] = true
	}
	return l.host
}

// telling reports what a load has none of: nothing could be missing there.
func (t *truth) telling() error {
	switch {
	case len(t.rollups) == 0 || len(t.files) == 0 || len(t.raw) == 0:
		return errors.New("no rollups, no files of them, or no archive")
	case len(t.transitions) == 0 || len(t.letters) == 0 || t.ledger["late"] == 0 || t.ledger["revised"] == 0:
		return errors.New("no alerts, no dead letters, or no late events")
	}
	return nil
}

// decide adds the rollups and alerts of records whose windows are decided by one mark.
func (t *truth) decide(records []*logged, mark int64, by rules) {
	all, closed := map[cell]row{}, map[cell]row{} // closed: what had arrived in time
	for _, l := range records {
		if !l.valid || l.late {
			continue
		}
		c := cell{l.start(), l.group}
		all[c] = all[c].with(l.number)
		if !l.behind {
			closed[c] = closed[c].with(l.number)
		}
	}
	held := map[string][]int64{}
	for c, r := range closed {
		if end := c.start + windowSize; end <= mark && r.most > threshold {
			held[c.host] = append(held[c.host], end)
		}
	}
	for host, ends := range held {
		slices.Sort(ends)
		t.held[host] = slices.Sorted(slices.Values(slices.Concat(t.held[host], ends)))
		t.alert(host, ends, mark, by)
	}
	for c, r := range all {
		if _, twice := t.rollups[c]; twice {
			t.split[c] = true
		}
		t.rollups[c] = r
		end := c.start + windowSize
		if slot := (end + fileSlot - 1) / fileSlot * fileSlot; slot+lateness <= mark {
			t.files[c] = r
		}
	}
}

// alert walks over the windows of a host in which the condition held.
func (t *truth) alert(host string, ends []int64, mark int64, by rules) {
	for i := 0; i < len(ends); {
		j := i
		for j+1 < len(ends) && ends[j+1] == ends[j]+windowSize && ends[j] != by.cut {
			j++
		}
		since, until, hold := ends[i], ends[j], int64(hold)
		if by.cut > 0 && since > by.cut {
			hold = nextHold
		}
		t.transitions[transition{host, "pending", since}] = true
		over := "inactive"
		if until-since >= hold {
			t.transitions[transition{host, "firing", since + hold}] = true
			over = "resolved"
		}
		switch {
		case until == by.cut: // another rule begins anew
			t.transitions[transition{host, over, until}] = true
		case until+windowSize <= mark:
			t.transitions[transition{host, over, until + windowSize}] = true
		}
		i = j + 1
	}
}

func (r row) with(n int64) row {
	if r.samples == 0 {
		return row{1, n, n, n}
	}
	return row{r.samples + 1, r.total + n, min(r.least, n), max(r.most, n)}
}
