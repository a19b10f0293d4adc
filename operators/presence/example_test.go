package presence_test

import (
	"fmt"
	"time"

	"github.com/tidewatch/tidewatch/operators/presence"
	"github.com/tidewatch/tidewatch/stream"
)

type printer struct{}

func (printer) Emit(b *stream.Batch) error {
	for i := range b.Len() {
		fmt.Printf("%s %s: %s %v\n", b.Phase, b.Window.End.Go().Format(time.TimeOnly), b.Cols[0].Text(i), b.Cols[1].Value(i))
	}
	return nil
}

func (printer) Decide(stream.Decision) error { return nil }

func (printer) Wants(stream.Phase) bool { return true }

func (printer) Count(stream.Bucket, int64) {}

var logins = &stream.Schema{Fields: []stream.Field{{Name: "country", Kind: stream.String}, {Name: "logins", Kind: stream.Int}}}

// minute is a closed window with one login from each country.
func minute(n int, countries ...string) *stream.Batch {
	b := stream.NewBatch(logins)
	b.Phase, b.Window = stream.Closed, stream.Window{Start: stream.Time(n-1) * 60 * second, End: stream.Time(n) * 60 * second}
	for _, c := range countries {
		b.Cols[0].AppendString(c)
		b.Cols[1].AppendInt(1)
	}
	b.SetLen(len(countries))
	return b
}

// What the first minutes show is learned; then a country passes that was not there within the hour before.
func ExampleFirst() {
	op, err := presence.NewFirst(&presence.FirstConfig{By: []string{"country"}, Of: []string{"country"}, Within: time.Hour, Learn: 2 * time.Minute}, logins)
	if err != nil {
		fmt.Println(err)
		return
	}
	for n, countries := range [][]string{{"DE", "FR"}, {"DE"}, {"KP", "DE"}, {"KP"}} {
		_ = op.Process(minute(n+1, countries...), printer{}) // fails only if the printer does
	}
	// Output:
	// closed 00:03:00: KP 1
}

// A group that has no row any more is named at the end of every window, with the number of windows that it has missed.
func ExampleAbsence() {
	op, err := presence.NewAbsence(&presence.AbsenceConfig{By: []string{"country"}, Every: time.Minute, Forget: time.Hour}, logins)
	if err != nil {
		fmt.Println(err)
		return
	}
	for n, countries := range [][]string{{"DE", "FR"}, {"DE"}, {"DE"}, {"DE", "FR"}} {
		_ = op.Process(minute(n+1, countries...), printer{})
		end := stream.Time(n+1) * 60 * second
		_ = op.Advance(stream.Advance{Mark: end, RecordMark: end}, printer{})
	}
	// Output:
	// closed 00:02:00: FR 1
	// final 00:02:00: FR 1
	// closed 00:03:00: FR 2
	// final 00:03:00: FR 2
}
