package objects

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidewatch/tidewatch/stream"
)

// The limits of a key: of S3 for the whole, of common file systems for a segment, less what a temporary name needs.
const (
	maxKey     = 900
	maxSegment = 240
)

// reserved is the folder of unfinished objects in a local store. It is no key in any store, so that keys can move
// between them.
const reserved = ".tidewatch-unfinished"

// CheckKey refuses keys that would leave the store, hide in it, or not fit into one of the stores.
func CheckKey(key string) error {
	if err := checkKey(key); err != nil {
		return stream.Mark(stream.Fatal, fmt.Errorf("check key %q: %w", clip(key), err))
	}
	return nil
}

func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("it is empty")
	case len(key) > maxKey:
		return fmt.Errorf("it has %d bytes, the limit is %d", len(key), maxKey)
	case !utf8.ValidString(key):
		return errors.New("it is not UTF-8")
	case strings.ContainsFunc(key, func(r rune) bool { return r == '\\' || !unicode.IsPrint(r) }):
		return errors.New("it has a backslash or an unprintable character")
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return fmt.Errorf("segment %q is not allowed", segment)
		case segment == reserved:
			return errors.New("the name is reserved")
		case len(segment) > maxSegment:
			return fmt.Errorf("a segment has %d bytes, the limit is %d", len(segment), maxSegment)
		}
	}
	return nil
}

// checkPrefix is CheckKey for the beginning of a key.
func checkPrefix(prefix string) error {
	if trimmed := strings.TrimSuffix(prefix, "/"); trimmed != "" {
		return CheckKey(trimmed)
	}
	return nil
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}
