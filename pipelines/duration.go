package pipelines

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time with its place. It is never negative.
type Duration struct {
	time.Duration
	At Pos
}

// IsSet reports whether the file says it.
func (d Duration) IsSet() bool { return d.At.Line > 0 }

// or is d, or a default that the file leaves open.
func (d Duration) or(fallback time.Duration) time.Duration {
	if d.IsSet() {
		return d.Duration
	}
	return fallback
}

const day = 24 * time.Hour

// unitOf is the length of a unit. Days have 24 hours.
func unitOf(name string) (time.Duration, bool) {
	switch name {
	case "ns":
		return time.Nanosecond, true
	case "us", "µs", "μs":
		return time.Microsecond, true
	case "ms":
		return time.Millisecond, true
	case "s":
		return time.Second, true
	case "m":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return day, true
	case "w":
		return 7 * day, true
	}
	return 0, false
}

// ParseDuration reads a duration as Go writes it, with d and w besides: 1m30s, 1.5h, 2d, 1w. It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	rest := s
	if rest == "" {
		return 0, errors.New("a duration is missing: write for example 30s, 5m or 1d")
	}
	if rest[0] == '-' {
		return 0, fmt.Errorf("`%s` is negative", s)
	}
	if rest == "0" {
		return 0, nil
	}
	var sum float64
	var whole time.Duration
	for rest != "" {
		number, unit, tail := splitDuration(rest)
		if number == "" {
			return 0, fmt.Errorf("`%s` is no duration: write for example 30s, 5m or 1d", s)
		}
		if unit == "" {
			return 0, fmt.Errorf("`%s` has no unit: did you mean `%ss`?", s, s)
		}
		size, ok := unitOf(unit)
		if !ok {
			return 0, fmt.Errorf("`%s` has the unknown unit `%s`: use ns, us, ms, s, m, h, d or w", s, unit)
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return 0, fmt.Errorf("`%s` is no duration: write for example 30s, 5m or 1d", s)
		}
		sum += n * float64(size)
		if sum > math.MaxInt64/2 {
			return 0, fmt.Errorf("`%s` is more than a century", s)
		}
		whole += exact(number, n, size)
		rest = tail
	}
	return whole, nil
}

// exact avoids rounding where the number is whole.
func exact(number string, n float64, size time.Duration) time.Duration {
	if i, err := strconv.ParseInt(number, 10, 64); err == nil {
		return time.Duration(i) * size
	}
	return time.Duration(math.Round(n * float64(size)))
}

// splitDuration cuts "90m30s" into "90", "m" and "30s".
func splitDuration(s string) (number, unit, rest string) {
	i := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if i < 0 {
		return s, "", ""
	}
	j := strings.IndexAny(s[i:], "0123456789.")
	if j < 0 {
		return s[:i], s[i:], ""
	}
	return s[:i], s[i : i+j], s[i+j:]
}

// formatDuration is the shortest form that ParseDuration reads back: 90s is 1m30s, 48h is 2d.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range []string{"w", "d", "h", "m", "s", "ms", "us", "ns"} {
		size, _ := unitOf(u)
		if u == "w" && d%size != 0 { // weeks only where nothing is left
			continue
		}
		if n := d / size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u)
			d %= size
		}
	}
	return b.String()
}
