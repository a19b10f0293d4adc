package alerts

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewatch/tidewatch/stream"
)

const goodCommand = `{"command":"acknowledge","alert":"083aad5d3f4d5d8edc8b511e","by":"ada","note":"on it","time":"2026-11-23T05:00:00+01:00"}`

func TestParseCommand(t *testing.T) {
	t.Parallel()
	c, err := ParseCommand([]byte(goodCommand))
	if err != nil {
		t.Fatal(err)
	}
	if ack := c.Acknowledgement(); ack.By != "ada" || ack.Note != "on it" || ack.At.Format(time.RFC3339) != "2026-11-23T04:00:00Z" {
		t.Errorf("%+v", ack)
	}
	for want, value := range map[string]string{
		"parse command: unexpected end":    `{`,
		"command is missing":               `{}`,
		`unknown command "silence"`:        strings.Replace(goodCommand, "acknowledge", "silence", 1),
		"is no alert id: it has 24 hex":    strings.Replace(goodCommand, "083a", "083", 1),
		"by is missing":                    strings.Replace(goodCommand, "ada", "", 1),
		"by has 201 bytes: at most 200":    strings.Replace(goodCommand, "ada", strings.Repeat("a", 201), 1),
		"note has 4001 bytes: at mo":       strings.Replace(goodCommand, "on it", strings.Repeat("a", 4001), 1),
		"time is missing or impossible":    strings.Replace(goodCommand, "2026", "1026", 1),
		"parsing time \"yesterday\" as":    strings.Replace(goodCommand, "2026-11-23T05:00:00+01:00", "yesterday", 1),
		"time is missing or impossible: u": strings.Replace(goodCommand, "time", "newer", 1),
	} {
		_, err := ParseCommand([]byte(value))
		if err == nil || !strings.Contains(err.Error(), want) || stream.KindOfError(err) != stream.Reject {
			t.Errorf("%s: %v, want %s", value, err, want)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add([]byte(goodCommand))
	f.Add([]byte(`{"command":"acknowledge","by":"\ud800"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := ParseCommand(value)
		if err != nil {
			if stream.KindOfError(err) != stream.Reject {
				t.Fatalf("not a dead letter: %v", err)
			}
			return
		}
		b, err := c.Encode()
		if err != nil {
			t.Fatalf("parsed, but does not encode: %v", err)
		}
		if again, err := ParseCommand(b); err != nil || again != c {
			t.Fatalf("parsed again: %+v, %v, want %+v", again, err, c)
		}
	})
}

func TestEncodeRefusesWhatParseWould(t *testing.T) {
	t.Parallel()
	if _, err := (Command{Command: Acknowledge}).Encode(); err == nil {
		t.Error("a command without alert is encoded")
	}
}

// TestAcknowledgementsDoNotDependOnOrder: whatever the order, and however often each comes, the latest is shown.
func TestAcknowledgementsDoNotDependOnOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr := transitionAt("a", 0, 10, 0, Inactive, Firing)
		commands := []Logged{}
		for i := range rapid.IntRange(1, 6).Draw(t, "commands") {
			commands = append(commands, Logged{
				Command: Command{Acknowledge, tr.Alert.ID, "ada", rapid.StringMatching("[a-z]{0,3}").Draw(t, "note"), at(rapid.IntRange(1, 3).Draw(t, "time"))},
				Offset:  int64(i),
			})
		}
		best := commands[0]
		for _, c := range commands {
			if c.Time.After(best.Time) || c.Time.Equal(best.Time) && c.Offset > best.Offset {
				best = c
			}
		}
		m := NewMemory()
		for _, c := range append(rapid.Permutation(commands).Draw(t, "order"), rapid.Permutation(commands).Draw(t, "again")...) {
			m.Acknowledge(c)
		}
		d, err := tr.Decision()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Decide(d); err != nil {
			t.Fatal(err)
		}
		got, err := m.Get(nil, tr.Alert.ID) //nolint:staticcheck // Memory does not look at it
		if err != nil {
			t.Fatal(err)
		}
		if want := best.Acknowledgement(); *got.Acknowledged != want {
			t.Fatalf("%+v, want %+v", *got.Acknowledged, want)
		}
	})
}
