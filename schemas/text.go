package schemas

import (
	"unicode/utf16"
	"unicode/utf8"
)

// appendText appends the value of the string whose checked content is raw: escapes resolved, invalid UTF-8 and lone
// surrogates replaced by U+FFFD, as encoding/json does it.
func appendText(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if run := skipPlain(raw, i); run > i {
			dst = append(dst, raw[i:run]...)
			i = run
			continue
		}
		c := raw[i]
		switch {
		case c == '\\' && raw[i+1] == 'u':
			var r rune
			r, i = escapedRune(raw, i)
			dst = utf8.AppendRune(dst, r)
		case c == '\\':
			dst = append(dst, unescaped(raw[i+1]))
			i += 2
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, size := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return dst
}

// escapedRune reads `\uXXXX`, or two of them that are a surrogate pair. AppendRune makes U+FFFD of what stays a surrogate.
func escapedRune(raw []byte, i int) (rune, int) {
	r := hexRune(raw[i+2 : i+6])
	i += 6
	if utf16.IsSurrogate(r) && i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
		if pair := utf16.DecodeRune(r, hexRune(raw[i+2:i+6])); pair != utf8.RuneError {
			return pair, i + 6
		}
	}
	return r, i
}

func hexRune(hex []byte) rune {
	var r rune
	for _, c := range hex {
		r = r<<4 | hexDigit(c)
	}
	return r
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// appendQuoted appends text as a JSON string in its shortest form: only what must be escaped is. Invalid UTF-8 becomes
// U+FFFD.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		if run := skipPlain(text, i); run > i {
			dst = append(dst, text[i:run]...)
			i = run
			continue
		}
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(text[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = appendControl(dst, c)
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}

func appendControl(dst []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// appendCompact appends the checked JSON value raw as it is written, without the space between its tokens. Invalid UTF-8
// becomes U+FFFD, so that the result is text.
func appendCompact(dst, raw []byte) []byte {
	inString := false
	for i := 0; i < len(raw); {
		if run := skipPlain(raw, i); inString && run > i {
			dst = append(dst, raw[i:run]...)
			i = run
			continue
		}
		c := raw[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		case inString && c == '\\':
			dst = append(dst, c, raw[i+1])
			i += 2
			continue
		case c == '"':
			inString = !inString
		case c <= ' ' && !inString:
			i++
			continue
		}
		dst = append(dst, c)
		i++
	}
	return dst
}
