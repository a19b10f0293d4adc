package alerts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// The sections of a snapshot, version 1.
//
//	alerts:  judged, final, forgotten; the open window; then per group, by key: key, slot, labels, and per episode its
//	         status, what its alert shows, and the rows that may still be revised.
//	pending: touches, and changes with their transition as JSON. Both are empty when the snapshot follows an Advance.
const (
	alertsSection  = "alerts"
	pendingSection = "pending"
	stateVersion   = 1
)

// Snapshot implements stream.Operator.
func (o *Operator) Snapshot(w *stream.StateWriter) error {
	w.Section(alertsSection, stateVersion)
	w.Int(int64(o.judged))
	w.Int(int64(o.final))
	w.Int(int64(o.forgotten))
	writeBool(w, o.isOpen)
	if o.isOpen {
		writeWindow(w, o.open)
		writeBool(w, o.provisional)
	}
	w.Uint(uint64(len(o.groups)))
	for _, key := range slices.Sorted(maps.Keys(o.groups)) {
		writeGroup(w, o.groups[key])
	}
	w.Section(pendingSection, stateVersion)
	w.Uint(uint64(len(o.touches)))
	for i := range o.touches {
		writeTouch(w, &o.touches[i])
	}
	w.Uint(uint64(len(o.changes)))
	for i := range o.changes {
		if err := writeChange(w, &o.changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// Restore implements stream.Operator.
func (o *Operator) Restore(r *stream.StateReader) error {
	if err := enterSection(r, alertsSection); err != nil {
		return err
	}
	o.judged, o.final, o.forgotten = stream.Time(r.Int()), stream.Time(r.Int()), stream.Time(r.Int())
	if o.isOpen = readBool(r); o.isOpen {
		o.open = readWindow(r)
		o.provisional = readBool(r)
	}
	for range r.Len(4) {
		o.addGroup(readGroup(r, o.cfg.Rule.Name))
	}
	if r.Err() != nil {
		return r.Err()
	}
	if err := enterSection(r, pendingSection); err != nil {
		return err
	}
	for range r.Len(4) {
		o.touches = append(o.touches, readTouch(r))
	}
	for range r.Len(4) {
		c, err := o.readChange(r)
		if err != nil {
			return err
		}
		o.changes = append(o.changes, c)
	}
	return r.Err()
}

// Inherit implements stream.Heir: alerts that are pending or firing stay so until the first window behind the cut is judged,
// with their ids. Between the state and the cut nothing is known: as long as that, a condition that held goes on to hold.
// Each alert gets a transition without a change of state at the cut, which names the version that it belongs to now.
func (o *Operator) Inherit(r *stream.StateReader, cut stream.Time) error {
	if err := o.Restore(r); err != nil {
		return err
	}
	gap := time.Duration(0)
	if o.judged != stream.NoTime {
		gap = cut.Sub(o.judged)
	}
	o.judged, o.final, o.forgotten, o.isOpen = cut, stream.NoTime, stream.NoTime, false
	o.touches, o.changes = nil, nil
	for _, key := range slices.Sorted(maps.Keys(o.groups)) {
		g := o.groups[key]
		e := g.current()
		if e == nil {
			o.kept[g.slot]--
			delete(o.groups, key)
			continue
		}
		g.episodes, e.rows = []*episode{e}, nil
		e.status.Held, e.seen, e.at = e.status.Held.Add(gap), cut, cut
		o.note(g, e, transitionOf{from: e.state, window: e.shown.window, holds: true, value: e.shown.value, evidence: []Evidence{}})
	}
	return nil
}

func enterSection(r *stream.StateReader, name string) error {
	if version, ok := r.Section(name); !ok || version != stateVersion {
		return fmt.Errorf("restore alerts: section %s has version %d, want %d", name, version, stateVersion)
	}
	return nil
}

func (o *Operator) addGroup(g *group) {
	o.groups[g.key] = g
	o.kept[g.slot]++
	if g.isLive() {
		o.live++
		g.listed, o.listed = true, append(o.listed, g)
	}
}

func writeGroup(w *stream.StateWriter, g *group) {
	w.Text(g.key)
	w.Uint(uint64(g.slot))
	writeLabels(w, g.labels)
	w.Uint(uint64(len(g.episodes)))
	for _, e := range g.episodes {
		writeEpisode(w, e)
	}
}

func readGroup(r *stream.StateReader, rule string) *group {
	g := &group{key: r.Text(), slot: uint8(r.Uint()), labels: readLabels(r)}
	g.fingerprint = Fingerprint(rule, g.labels)
	for range r.Len(8) {
		g.episodes = append(g.episodes, readEpisode(r))
	}
	return g
}

func writeEpisode(w *stream.StateWriter, e *episode) {
	for _, t := range []stream.Time{e.status.Since, e.status.Held, e.started, e.at, e.seen} {
		w.Int(int64(t))
	}
	w.Text(string(e.status.State))
	w.Text(string(e.state))
	w.Uint(uint64(e.revision))
	w.Uint(uint64(len(e.rows)))
	for _, row := range e.rows {
		w.Int(int64(row.end))
		w.Uint(row.hash)
	}
	s := &e.shown
	writeWindow(w, s.window)
	w.Int(int64(s.complete))
	writeLabels(w, s.labels)
	w.Text(s.summary)
	writeValue(w, s.value)
	writeEvidence(w, s.evidence)
}

func readEpisode(r *stream.StateReader) *episode {
	e := &episode{}
	for _, t := range []*stream.Time{&e.status.Since, &e.status.Held, &e.started, &e.at, &e.seen} {
		*t = stream.Time(r.Int())
	}
	e.status.State, e.state, e.revision = State(r.Text()), State(r.Text()), int(r.Uint())
	for range r.Len(2) {
		e.rows = append(e.rows, judgedRow{stream.Time(r.Int()), r.Uint()})
	}
	e.shown = shown{
		window: readWindow(r), complete: stream.Time(r.Int()), labels: readLabels(r), summary: r.Text(),
		value: readValue(r), evidence: readEvidence(r),
	}
	return e
}

func writeTouch(w *stream.StateWriter, t *touch) {
	w.Text(t.key)
	w.Int(int64(t.end))
	w.Uint(t.hash)
	writeBool(w, t.holds)
	writeValue(w, t.value)
	writeEvidence(w, t.evidence)
}

func readTouch(r *stream.StateReader) touch {
	return touch{
		key: r.Text(), end: stream.Time(r.Int()), hash: r.Uint(), holds: readBool(r), value: readValue(r), evidence: readEvidence(r),
	}
}

func writeChange(w *stream.StateWriter, c *change) error {
	body, err := json.Marshal(&c.transition)
	if err != nil {
		return fmt.Errorf("snapshot transition %s: %w", c.transition.ID, err)
	}
	w.Text(c.key)
	w.Int(int64(c.episode.started))
	w.Int(int64(c.at))
	writeWindow(w, c.window)
	w.Int(int64(c.shown))
	w.Bytes(body)
	return nil
}

func (o *Operator) readChange(r *stream.StateReader) (change, error) {
	c := change{key: r.Text()}
	started := stream.Time(r.Int())
	c.at, c.window, c.shown = stream.Time(r.Int()), readWindow(r), stream.Time(r.Int())
	body := r.Bytes()
	if err := r.Err(); err != nil {
		return c, err
	}
	var err error
	if c.transition, err = Decode(body); err != nil {
		return c, fmt.Errorf("restore alerts: %w", err)
	}
	if g := o.groups[c.key]; g != nil {
		for _, e := range g.episodes {
			if e.started == started {
				c.episode = e
				return c, nil
			}
		}
	}
	return c, fmt.Errorf("restore alerts: transition %s belongs to no episode", c.transition.ID)
}

func writeBool(w *stream.StateWriter, v bool) {
	if v {
		w.Uint(1)
		return
	}
	w.Uint(0)
}

func readBool(r *stream.StateReader) bool { return r.Uint() != 0 }

func writeWindow(w *stream.StateWriter, v stream.Window) {
	w.Int(int64(v.Start))
	w.Int(int64(v.End))
}

func readWindow(r *stream.StateReader) stream.Window {
	return stream.Window{Start: stream.Time(r.Int()), End: stream.Time(r.Int())}
}

func writeLabels(w *stream.StateWriter, labels map[string]string) {
	w.Uint(uint64(len(labels)))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		w.Text(name)
		w.Text(labels[name])
	}
}

func readLabels(r *stream.StateReader) map[string]string {
	labels := map[string]string{}
	for range r.Len(2) {
		name := r.Text()
		labels[name] = r.Text()
	}
	return labels
}

func writeValue(w *stream.StateWriter, v *float64) {
	writeBool(w, v != nil)
	if v != nil {
		w.Float(*v)
	}
}

func readValue(r *stream.StateReader) *float64 {
	if !readBool(r) {
		return nil
	}
	v := r.Float()
	return &v
}

func writeEvidence(w *stream.StateWriter, evidence []Evidence) {
	w.Uint(uint64(len(evidence)))
	for _, e := range evidence {
		w.Text(e.Topic)
		w.Int(int64(e.Partition))
		w.Int(e.Offset)
		w.Int(e.Time.UnixNano())
	}
}

func readEvidence(r *stream.StateReader) []Evidence {
	evidence := []Evidence{}
	for range r.Len(4) {
		evidence = append(evidence, Evidence{Topic: r.Text(), Partition: int32(r.Int()), Offset: r.Int(), Time: time.Unix(0, r.Int()).UTC()})
	}
	return evidence
}
