package pipelines

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "1m30s": 90 * time.Second, "1.5h": 90 * time.Minute, "1d": 24 * time.Hour,
		"2w": 14 * 24 * time.Hour, "1d12h": 36 * time.Hour, "250ms": 250 * time.Millisecond, "7us": 7000, "7µs": 7000, "3ns": 3,
		"1w1d1h1m1s1ms1us1ns": 8*24*time.Hour + time.Hour + time.Minute + time.Second + 1001001,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for text, part := range map[string]string{
		"": "missing", "10": "did you mean `10s`", "-5s": "negative", "5x": "unknown unit `x`", "s": "no duration", "5s5": "no unit",
		"1..5s": "no duration", ".s": "no duration", "5 s": "unknown unit ` s`", "200000d": "century", "99999999999999999999999w": "century", "1e3s": "unknown unit `e`",
	} {
		if got, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("ParseDuration(%q) = %v, %v; want an error with %q", text, got, err, part)
		}
	}
}

// What is printed is read back as the same duration.
func TestFormatDuration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(100*365*day)).Draw(t, "d"))
		if unit := rapid.SampledFrom([]time.Duration{1, time.Millisecond, time.Second, time.Minute, day}).Draw(t, "unit"); unit > 1 {
			d = d.Truncate(unit)
		}
		text := formatDuration(d)
		if got, err := ParseDuration(text); err != nil || got != d {
			t.Fatalf("%d is printed as %s and read as %d, %v", d, text, got, err)
		}
	})
}
