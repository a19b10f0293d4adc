//go:build faults

package main

import (
	"errors"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

func TestParseFaults(t *testing.T) {
	got, err := parseFaults("claim.after:17=kill; reveal.redis.before:3=error;")
	if err != nil || len(got) != 2 || got[0] != (fault{"claim.after", 17, "kill"}) || got[1] != (fault{"reveal.redis.before", 3, "error"}) {
		t.Fatalf("parsed %+v, %v", got, err)
	}
	for _, bad := range []string{"claim.after", "claim.after=kill", "claim.after:0=kill", "claim.after:x=kill", "claim.after:1=boom"} {
		if _, err := parseFaults(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// A lost answer is a call that was made.
func TestAnswerIsLost(t *testing.T) {
	planted().mu.due = []fault{{"x.after", 2, "error"}}
	calls := 0
	call := func() (int, error) {
		return giving("x", func() (int, error) { calls++; return calls, nil })
	}
	if n, err := call(); n != 1 || err != nil {
		t.Fatalf("first: %d, %v", n, err)
	}
	n, err := call()
	if n != 0 || stream.KindOfError(err) != stream.Retry || calls != 2 {
		t.Fatalf("second: %d, %v after %d calls; %v", n, err, calls, errors.Unwrap(err))
	}
}

// A marked record makes the window of its task panic; those before it and without the mark do nothing.
func TestMarkedRecordPanics(t *testing.T) {
	schema := &stream.Schema{Fields: []stream.Field{{Name: "host", Kind: stream.String}}}
	b := stream.NewBatch(schema)
	for _, host := range []string{"a", hostPanics} {
		b.Cols[0].AppendString(host)
		b.Offset = append(b.Offset, int64(len(b.Offset)))
		b.SetLen(len(b.Offset))
		panicked := func() (v any) {
			defer func() { v = recover() }()
			stumble(b)
			return nil
		}()
		if (panicked != nil) != (host == hostPanics) {
			t.Errorf("after %s: panic %v", host, panicked)
		}
	}
}
