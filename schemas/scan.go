package schemas

import (
	"encoding/binary"
	"math/bits"
)

// The scanner walks JSON text by index. Its functions take the text and a position and return the position behind what
// they have read. A negative result is a failure: ^position of the byte that cannot stand there, or tooDeep.

// token says what a value is.
type token uint8

const (
	absent     token = iota
	null             // the word
	truth            // true
	falsity          // false
	number           // certainly in the range of a float
	wideNumber       // perhaps too large for a float
	plain            // a string of ASCII without escapes: its bytes are its value
	coded            // a string with escapes or bytes beyond ASCII
	object
	array
)

var tokenNames = [...]string{"nothing", "null", "true", "false", "a number", "a number", "a string", "a string", "an object", "an array"}

// maxDepth is how many levels encoding/json follows.
const maxDepth = 10000

const tooDeep = -1 << 62

// Eight bytes at a time (SWAR): a byte of every lane.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks the first byte of w that ends a run of plain string bytes: a quote, a backslash, a control character or a
// byte beyond ASCII. The high bit of the lowest such byte is set; bits above it may be wrong, because a subtraction
// borrows only from lanes above a byte that is itself marked.
func special(w uint64) uint64 {
	return (((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones) | (w - ones*' ') | w) & highs
}

// scanString reads from behind the opening quote to the closing one and returns its position.
func scanString(b []byte, i int) (int, token) {
	for i+8 <= len(b) {
		m := special(binary.LittleEndian.Uint64(b[i:]))
		if m == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(m) >> 3
		if b[i] == '"' {
			return i, plain
		}
		return scanCoded(b, i)
	}
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i, plain
		case c < ' ' || c == '\\' || c >= 0x80:
			return scanCoded(b, i)
		}
	}
	return ^len(b), coded
}

// scanCoded goes on with a string at its first byte that is not plain.
func scanCoded(b []byte, i int) (int, token) {
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i, coded
		case c == '\\':
			if i = scanEscape(b, i); i < 0 {
				return i, coded
			}
			i = skipPlain(b, i)
		case c < ' ':
			return ^i, coded
		default:
			i++
		}
	}
	return ^len(b), coded
}

// skipPlain jumps over whole words of plain string bytes.
func skipPlain(b []byte, i int) int {
	for i+8 <= len(b) {
		m := special(binary.LittleEndian.Uint64(b[i:]))
		if m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	return i
}

// scanEscape reads an escape from its backslash on.
func scanEscape(b []byte, i int) int {
	if i+1 >= len(b) {
		return ^len(b)
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if k >= len(b) || hexDigit(b[k]) < 0 {
				return ^min(k, len(b))
			}
		}
		return i + 6
	}
	return ^(i + 1)
}

func hexDigit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return rune(c|0x20-'a') + 10
	}
	return -1
}

// space jumps over white space. Most texts have none, so the test is inlined and the loop is not.
func space(b []byte, i int) int {
	if i < len(b) && b[i] <= ' ' {
		return skipSpace(b, i)
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// colon reads from the closing quote of a key to the first byte of its value.
func colon(b []byte, i int) int {
	if i = space(b, i+1); i >= len(b) || b[i] != ':' {
		return ^i
	}
	return space(b, i+1)
}

// word reads one of the three words.
func word(b []byte, i int, want string) int {
	for k := range len(want) {
		if i+k >= len(b) || b[i+k] != want[k] {
			return ^(i + k)
		}
	}
	return i + len(want)
}

// skipValue checks a value that nobody wants. depth is the number of objects and arrays around it.
func skipValue(b []byte, i, depth int) int {
	if i < len(b) && b[i] == '"' {
		if i, _ = scanString(b, i+1); i < 0 {
			return i
		}
		return i + 1
	}
	var s scalar
	next, _ := scanValue(b, i, depth, &s)
	return next
}

// scanValue reads a value of any kind. Strings and numbers leave what is known about them in s.
func scanValue(b []byte, i, depth int, s *scalar) (int, token) {
	if i >= len(b) {
		return ^len(b), absent
	}
	switch b[i] {
	case '"':
		end, tok := scanString(b, i+1)
		s.start, s.end = i+1, end
		if end < 0 {
			return end, tok
		}
		return end + 1, tok
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return scanNumber(b, i, s)
	case '{':
		s.start = i
		s.end = skipObject(b, i+1, depth+1)
		return s.end, object
	case '[':
		s.start = i
		s.end = skipArray(b, i+1, depth+1)
		return s.end, array
	case 'n':
		return word(b, i, "null"), null
	case 't':
		return word(b, i, "true"), truth
	case 'f':
		return word(b, i, "false"), falsity
	}
	return ^i, absent
}

// skipObject checks an object from behind its brace.
func skipObject(b []byte, i, depth int) int {
	if depth > maxDepth {
		return tooDeep
	}
	if i = space(b, i); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return ^i
		}
		if i, _ = scanString(b, i+1); i < 0 {
			return i
		}
		if i = colon(b, i); i < 0 {
			return i
		}
		if i = skipValue(b, i, depth); i < 0 {
			return i
		}
		var more bool
		if i, more = next(b, i, '}'); !more {
			return i
		}
	}
}

// skipArray checks an array from behind its bracket.
func skipArray(b []byte, i, depth int) int {
	if depth > maxDepth {
		return tooDeep
	}
	if i = space(b, i); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = skipValue(b, i, depth); i < 0 {
			return i
		}
		var more bool
		if i, more = next(b, i, ']'); !more {
			return i
		}
	}
}

// next reads what follows a member or an element: a comma and then more, or the end.
func next(b []byte, i int, end byte) (_ int, more bool) {
	i = space(b, i)
	switch {
	case i >= len(b):
		return ^len(b), false
	case b[i] == ',':
		return space(b, i+1), true
	case b[i] == end:
		return i + 1, false
	}
	return ^i, false
}
