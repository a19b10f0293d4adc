package alerts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// Transition is a change of an alert: of its state, or (From equals To) of what is known about an episode whose window
// was revised. It is the body of a stream.Decision. The package doc says which rows follow from it.
type Transition struct {
	ID          string `json:"id"` // rule, group, event time, state, revision: equal ids have equal bodies
	Fingerprint string `json:"fingerprint"`
	From        State  `json:"from"`
	To          State  `json:"to"`
	// At is the end of the window at which the state changed. A revision has the At of the newest change of state.
	At time.Time `json:"at"`
	// Revision counts the revisions of the alert so far. (At, Revision) grows with every transition of an alert.
	Revision    int  `json:"revision"`
	Provisional bool `json:"provisional"` // an idle tick, not a record, had closed the window
	// Window, Holds, Value and Evidence are of the window that led to the transition: the judged or the revised one.
	Window   Window     `json:"window"`
	Holds    bool       `json:"holds"`
	Value    *float64   `json:"value"`
	Evidence []Evidence `json:"evidence"`
	// Alert is the whole alert after the transition, without its acknowledgement.
	Alert Alert `json:"alert"`
}

// IsRevision reports whether the transition only marks the alert, because a window of its episode was revised.
func (t *Transition) IsRevision() bool { return t.From == t.To }

// Notifies reports whether somebody has to be told: the alert fires or is resolved.
func (t *Transition) Notifies() bool {
	return !t.IsRevision() && (t.To == Firing || t.To == Resolved)
}

// Newer reports whether t replaces u as the current state of the same alert.
func (t *Transition) Newer(u *Transition) bool {
	if !t.At.Equal(u.At) {
		return t.At.After(u.At)
	}
	return t.Revision > u.Revision
}

// transitionID is what makes a repeat of the same decision recognisable.
func transitionID(t *Transition) string {
	b := append([]byte(t.Alert.Name), '/')
	b = append(append(b, t.Fingerprint...), '/')
	b = t.At.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(append(append(b, '/'), t.To...), '/')
	return string(strconv.AppendInt(b, int64(t.Revision), 10))
}

// Decision encodes t for the transaction that claims the epoch. Equal transitions have equal bytes.
func (t *Transition) Decision() (stream.Decision, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return stream.Decision{}, fmt.Errorf("encode transition %s: %w", t.ID, err)
	}
	return stream.Decision{ID: t.ID, Body: body}, nil
}

// Decode reads the body of a decision. A body that is no transition is an error; unknown fields are refused, because a
// newer version means something by them.
func Decode(body []byte) (Transition, error) {
	var t Transition
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return Transition{}, fmt.Errorf("decode transition: %w", err)
	}
	if err := t.check(); err != nil {
		return Transition{}, fmt.Errorf("decode transition: %w", err)
	}
	return t, nil
}

func (t *Transition) check() error {
	switch {
	case !slices.Contains(States(), t.From):
		return fmt.Errorf("unknown state %q in from", t.From)
	case !slices.Contains(States(), t.To):
		return fmt.Errorf("unknown state %q in to", t.To)
	case t.Alert.State != t.To:
		return fmt.Errorf("the alert is %q after a transition to %q", t.Alert.State, t.To)
	case t.At.IsZero():
		return errors.New("at is missing")
	case !ValidID(t.Alert.ID):
		return fmt.Errorf("alert id %q is not %d hex digits", t.Alert.ID, 2*idBytes)
	case t.ID != transitionID(t):
		return fmt.Errorf("id %q does not follow from the content", t.ID)
	}
	return nil
}

// Superseded is what ends an alert at the cut at which another version of its pipeline follows: that one has not taken it on,
// because it has no such rule, or because the rule has not seen it begin. newest is the alert's last transition.
func Superseded(newest *Transition, cut stream.Time) (Transition, error) {
	t := *newest
	t.From, t.To = newest.Alert.State, Resolved
	if t.From == Pending {
		t.To = Inactive
	}
	t.At, t.Revision = cut.Go(), newest.Revision
	if !t.At.After(newest.At) {
		t.At, t.Revision = newest.At, newest.Revision+1
	}
	t.Provisional, t.Holds, t.Value, t.Evidence = false, false, nil, []Evidence{}
	t.Alert.State, t.Alert.UpdatedAt, t.Alert.Value = t.To, t.At, nil
	t.ID = transitionID(&t)
	return t, t.check()
}
