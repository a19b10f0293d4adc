package schemas

import (
	"math"
	"math/bits"

	"github.com/tidewatch/tidewatch/stream"
)

// Numbers of time are read by magnitude: below 10^11 they are seconds (to the year 5138), below 10^14 milliseconds (from
// March 1973), below 10^17 microseconds, else nanoseconds. Every instant from 2000 on that stream.Time can hold has one
// reading in each unit.
const (
	secondsDigits = 11
	millisDigits  = 14
	microsDigits  = 17
)

// year2000 is the oldest instant that is believed.
const year2000 stream.Time = 946684800 * 1e9

// Instants that stream.Time cannot hold: they are rejected as what they are.
const (
	tooOld    = stream.NoTime
	tooFuture = stream.MaxTime
)

// instant reads the number s of the text b. Parts of a nanosecond are cut off.
func instant(b []byte, s *scalar) stream.Time {
	if s.exact && s.exp == 0 && s.mantissa >= 1e11 && s.mantissa < 9e12 && !s.negative {
		return stream.Time(s.mantissa) * 1e6
	}
	mantissa, exp := s.decimal(b)
	switch {
	case mantissa == 0:
		return 0
	case s.negative:
		return tooOld
	}
	switch magnitude := decimalDigits(mantissa) + exp; {
	case magnitude <= secondsDigits:
		exp += 9
	case magnitude <= millisDigits:
		exp += 6
	case magnitude <= microsDigits:
		exp += 3
	}
	return scale(mantissa, exp)
}

// scale is mantissa·10^exp nanoseconds.
func scale(mantissa uint64, exp int) stream.Time {
	for ; exp < 0 && mantissa > 0; exp++ {
		mantissa /= 10
	}
	for ; exp > 0 && mantissa > 0; exp-- {
		high, low := bits.Mul64(mantissa, 10)
		if high > 0 {
			return tooFuture
		}
		mantissa = low
	}
	if mantissa >= math.MaxInt64 {
		return tooFuture
	}
	return stream.Time(mantissa)
}

func decimalDigits(m uint64) int {
	n := 0
	for ; m > 0; m /= 10 {
		n++
	}
	return n
}

// parseInstant reads text: RFC 3339, or a number in digits.
func parseInstant(text []byte) (stream.Time, bool) {
	if len(text) >= len("2006-01-02T15:04:05Z") && text[4] == '-' && text[7] == '-' {
		return parseRFC3339(text)
	}
	if len(text) == 0 || text[0]-'0' > 9 && text[0] != '-' {
		return 0, false
	}
	var s scalar
	if end, _ := scanNumber(text, 0, &s); end != len(text) {
		return 0, false
	}
	return instant(text, &s), true
}

// parseRFC3339 reads what time.Parse reads with time.RFC3339Nano, and a small t or z or a space between date and time,
// which the RFC allows. Beyond nanoseconds digits are cut off. Leap seconds are no instants, as in Go.
func parseRFC3339(t []byte) (stream.Time, bool) {
	year, month, day := two(t, 0)*100+two(t, 2), two(t, 5), two(t, 8)
	hour, minute, second := two(t, 11), two(t, 14), two(t, 17)
	good := year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month) &&
		hour >= 0 && hour <= 23 && minute >= 0 && minute <= 59 && second >= 0 && second <= 59 &&
		(t[10]|0x20 == 't' || t[10] == ' ') && t[13] == ':' && t[16] == ':'
	if !good {
		return 0, false
	}
	nanos, i, ok := fraction(t, 19)
	if !ok {
		return 0, false
	}
	offset, ok := zone(t[i:])
	if !ok {
		return 0, false
	}
	seconds := int64(days(year, month, day))*86400 + int64(hour*3600+minute*60+second-offset)
	if seconds < 0 {
		return tooOld, true
	}
	if seconds >= math.MaxInt64/1_000_000_000 {
		return tooFuture, true
	}
	return stream.Time(seconds*1e9 + nanos), true
}

// two reads two digits, or is far below zero.
func two(t []byte, i int) int {
	a, b := t[i]-'0', t[i+1]-'0'
	if a > 9 || b > 9 {
		return -1e6
	}
	return int(a)*10 + int(b)
}

// fraction reads an optional point and digits from i on, in nanoseconds.
func fraction(t []byte, i int) (nanos int64, next int, ok bool) {
	if t[i] != '.' {
		return 0, i, true
	}
	unit := int64(1e8)
	first := i + 1
	for i = first; i < len(t) && t[i]-'0' <= 9; i++ {
		nanos += int64(t[i]-'0') * unit
		unit /= 10
	}
	return nanos, i, i > first
}

// zone reads the rest: Z, or an offset in seconds.
func zone(t []byte) (offset int, ok bool) {
	if len(t) == 1 {
		return 0, t[0]|0x20 == 'z'
	}
	if len(t) != len("+00:00") || t[3] != ':' || t[0] != '+' && t[0] != '-' {
		return 0, false
	}
	hour, minute := two(t, 1), two(t, 4)
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 {
		return 0, false
	}
	offset = hour*3600 + minute*60
	if t[0] == '-' {
		offset = -offset
	}
	return offset, true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// days since 1970-01-01 in the Gregorian calendar, for years from 0 on: years begin in March, so that the leap day is the
// last (after Howard Hinnant, "chrono-compatible low-level date algorithms").
func days(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	return year*365 + floorDiv(year, 4) - floorDiv(year, 100) + floorDiv(year, 400) + (153*(month-3)+2)/5 + day - 719469
}

func floorDiv(a, b int) int {
	if a < 0 {
		return -((b - 1 - a) / b)
	}
	return a / b
}
