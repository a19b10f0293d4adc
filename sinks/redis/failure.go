package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

// failure wraps an error of go-redis once, with its kind and what to do next. Its texts name the address, never the
// password.
func failure(what string, err error) error {
	kind, next := judge(err)
	if next != "" {
		next = ": " + next
	}
	return stream.Mark(kind, fmt.Errorf("%s: %w%s", what, err, next))
}

// judge tells whether trying again can help, and what a person should look at. Everything but a refused login may pass:
// a server that starts, fails over, or is full.
func judge(err error) (kind stream.ErrorKind, next string) {
	var refused *net.OpError
	switch text := err.Error(); {
	case goredis.IsAuthError(err), strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOAUTH"), strings.HasPrefix(text, "NOPERM"):
		return stream.Fatal, "check user and password in redis.url"
	case strings.HasPrefix(text, "WRONGTYPE"):
		return stream.Fatal, "another program uses a key of ours: choose another redis.prefix or database"
	case strings.HasPrefix(text, "OOM"):
		return stream.Retry, "Redis is full: raise its maxmemory or lower keep"
	case strings.HasPrefix(text, "READONLY"):
		return stream.Retry, "that Redis is a replica: let redis.url name the primary"
	case errors.Is(err, context.Canceled):
		return stream.Retry, ""
	case errors.As(err, &refused) && refused.Op == "dial":
		return stream.Retry, "check that Redis runs there and that redis.url names it"
	}
	return stream.Retry, ""
}
