package expression

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Text is a value as it is written in the text of an alert. Floats have at most four decimals, instants are RFC 3339, and
// nil is "-".
func Text(v any) string {
	switch x := v.(type) {
	case nil:
		return "-"
	case string:
		return x
	case float64:
		return floatText(x)
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

func floatText(x float64) string {
	if size := math.Abs(x); size >= 1e15 || size != 0 && size < 1e-3 {
		return strconv.FormatFloat(x, 'g', 6, 64)
	}
	return decimals(x, 4)
}

// decimals writes x with at most n decimals and no trailing zeros.
func decimals(x float64, n int) string {
	scale := math.Pow10(n)
	if rounded := math.Round(x*scale) / scale; !math.IsInf(rounded, 0) {
		x = rounded
	}
	if x == 0 {
		x = 0 // not -0
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

func percent(args ...any) (any, error) {
	x, ok := asFloat(normal(args[0]))
	if !ok {
		return nil, nil
	}
	return decimals(100*x, 1) + "%", nil
}

func byteSize(args ...any) (any, error) {
	x, ok := asFloat(normal(args[0]))
	if !ok {
		return nil, nil
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for ; i < len(units)-1 && math.Abs(x) >= 1024; i++ {
		x /= 1024
	}
	return decimals(x, 1) + " " + units[i], nil
}

// maxSpan is about as many seconds as a time.Duration can hold.
const maxSpan = 9e9

func spanOf(args ...any) (any, error) {
	if d, ok := args[0].(time.Duration); ok {
		return d.String(), nil
	}
	seconds, ok := asFloat(normal(args[0]))
	if !ok || !(math.Abs(seconds) < maxSpan) {
		return nil, nil
	}
	return time.Duration(math.Round(seconds * 1e9)).Round(spanUnit(seconds)).String(), nil
}

// spanUnit keeps the digits that somebody reads.
func spanUnit(seconds float64) time.Duration {
	if math.Abs(seconds) >= 10 {
		return time.Second
	}
	return time.Millisecond
}

func round(args ...any) (any, error) {
	x, ok := asFloat(normal(args[0]))
	if !ok {
		return nil, nil
	}
	digits := int64(0)
	if len(args) > 1 {
		digits, _ = normal(args[1]).(int64)
	}
	scale := math.Pow10(int(min(max(digits, 0), 15)))
	if rounded := math.Round(x*scale) / scale; !math.IsInf(rounded, 0) {
		return rounded, nil
	}
	return x, nil
}
