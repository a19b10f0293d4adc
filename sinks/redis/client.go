package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

// Client is a connection pool to the Redis that holds the rollups. Safe for concurrent use.
type Client struct {
	rdb     *goredis.Client
	prefix  string
	timeout time.Duration
	clock   stream.Clock
}

// Open checks the configuration and returns a Client. It does not wait for the server, which may be away: [Client.Ping]
// tells.
func Open(c Config, clock stream.Clock) (*Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	return &Client{rdb: goredis.NewClient(o), prefix: c.Prefix, timeout: c.Timeout, clock: clock}, nil
}

// Close closes all connections. The sinks and subscriptions of the client must have been closed before.
func (c *Client) Close() error { return c.rdb.Close() }

// Ping reports whether the server answers.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return failure("ping redis", err)
	}
	return nil
}

// Empty reports whether Redis has lost its content since the last MarkReady, or never had any: then the engine writes
// everything anew before queries are answered.
func (c *Client) Empty(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := c.rdb.Get(ctx, c.readyKey()).Err()
	if errors.Is(err, goredis.Nil) {
		return true, nil
	}
	if err != nil {
		return false, failure("look for content of redis", err)
	}
	return false, nil
}

// MarkReady notes that everything is in Redis. The value of the key is the wall clock, for people.
func (c *Client) MarkReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.rdb.Set(ctx, c.readyKey(), c.clock.Now().UTC().Format(time.RFC3339), 0).Err(); err != nil {
		return failure("mark redis as ready", err)
	}
	return nil
}
