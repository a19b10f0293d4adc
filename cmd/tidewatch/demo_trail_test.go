package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/schemas"
	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/sources/replay"
	"github.com/tidewatch/tidewatch/stream"
)

// TestTrailEventsAreRealOnesShifted: the records of the attack session come out as security events that the decoder accepts,
// in the order of time, shifted by one constant, with their own time beside.
func TestTrailEventsAreRealOnesShifted(t *testing.T) {
	records, err := replay.CloudTrail()
	if err != nil {
		t.Fatal(err)
	}
	from, err := serve.ParseTime(trailFrom, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	to, err := serve.ParseTime(trailTo, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := trailEvents(records, from, to)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 2500 {
		t.Fatalf("%d records only", len(all))
	}
	def, err := schemas.Builtin().ForTopic("security")
	if err != nil {
		t.Fatal(err)
	}
	d, err := schemas.NewDecoder("json", def, []string{"class", "user", "operation", "tenant", "attributes.original_time", "attributes.origin"})
	if err != nil {
		t.Fatal(err)
	}
	now := stream.TimeOf(fakeNow)
	shift := now.Sub(all[0].at)
	b := stream.NewBatch(d.Schema())
	users, classes := map[string]int{}, map[string]int{}
	for i := range all {
		text := all[i].appendShifted(nil, shift)
		if !json.Valid(text) {
			t.Fatalf("%s is no JSON", text)
		}
		if err := d.Decode(&stream.Message{Timestamp: now.Add(2 * time.Hour), Value: text}, b); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		cell := func(k int) string { s, _ := b.Cols[k].Value(i).(string); return s }
		users[cell(1)]++
		classes[cell(0)]++
		original, err := time.Parse(time.RFC3339Nano, cell(4))
		if err != nil || stream.TimeOf(original).Add(shift) != b.Time[i] || cell(5) != demoTrail || cell(3) != "aws" {
			t.Fatalf("%s: original %q, shifted %s, %v", text, cell(4), b.Time[i], err)
		}
		if i > 0 && b.Time[i] < b.Time[i-1] {
			t.Fatalf("record %d goes back in time", i)
		}
	}
	if users["bert-jan"] < 1000 || classes["authentication"] == 0 || classes["api_activity"] == 0 {
		t.Errorf("the session is not there: %v %v", users, classes)
	}
}
