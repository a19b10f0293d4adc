package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/tidewatch/tidewatch/stream"
)

// CommandsTopic carries instructions of people, so that they replay like every other event.
const CommandsTopic = "tidewatch.commands"

// Acknowledge is the only command so far.
const Acknowledge = "acknowledge"

// Limits of a command's texts, in bytes: they go into a row and onto a page.
const (
	maxBy   = 200
	maxNote = 4000
)

// Command is an event on CommandsTopic: the JSON of a record's value.
type Command struct {
	Command string    `json:"command"`
	Alert   string    `json:"alert"` // id of the alert
	By      string    `json:"by"`
	Note    string    `json:"note,omitempty"`
	Time    time.Time `json:"time"`
}

// ParseCommand reads the value of a record. Fields that this version does not know are ignored. What is no valid command
// is a Reject error that says why.
func ParseCommand(value []byte) (Command, error) {
	var c Command
	if err := json.Unmarshal(value, &c); err != nil {
		return Command{}, stream.Mark(stream.Reject, fmt.Errorf("parse command: %w", err))
	}
	c.Time = c.Time.UTC()
	if err := c.Validate(); err != nil {
		return Command{}, stream.Mark(stream.Reject, fmt.Errorf("parse command: %w", err))
	}
	return c, nil
}

// Validate says what is wrong with the command.
func (c Command) Validate() error {
	switch {
	case c.Command == "":
		return errors.New("command is missing")
	case c.Command != Acknowledge:
		return fmt.Errorf("unknown command %q: use %q", c.Command, Acknowledge)
	case !ValidID(c.Alert):
		return fmt.Errorf("alert %q is no alert id: it has %d hex digits", c.Alert, 2*idBytes)
	case c.By == "":
		return errors.New("by is missing: say who acknowledges")
	case len(c.By) > maxBy:
		return fmt.Errorf("by has %d bytes: at most %d", len(c.By), maxBy)
	case len(c.Note) > maxNote:
		return fmt.Errorf("note has %d bytes: at most %d", len(c.Note), maxNote)
	case !utf8.ValidString(c.By) || !utf8.ValidString(c.Note):
		return errors.New("by and note must be UTF-8")
	case c.Time.Year() < 2000 || c.Time.Year() > 2200:
		return errors.New("time is missing or impossible: use RFC 3339")
	}
	return nil
}

// Encode is the value of the record. A command that does not pass Validate is refused.
func (c Command) Encode() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	c.Time = c.Time.UTC()
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	return b, nil
}

// Acknowledgement is what the command says about its alert.
func (c Command) Acknowledgement() Acknowledgement {
	return Acknowledgement{By: c.By, At: c.Time, Note: c.Note}
}

// Logged is a command with its place on the topic. All commands about an alert have its id as their key, so they are in
// one partition and their offsets are comparable.
type Logged struct {
	Command
	Offset int64
}

// Newer reports whether l replaces m as the acknowledgement of the same alert: the later time wins, and of equal times the
// higher offset. So it does not matter in which order, or how often, commands are applied.
func (l Logged) Newer(m Logged) bool {
	if !l.Time.Equal(m.Time) {
		return l.Time.After(m.Time)
	}
	return l.Offset > m.Offset
}
