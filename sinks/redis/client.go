package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/stream"
)

// Client is a connection pool to the Redis that holds the rollups. Safe for concurrent use.
type Client struct {
	rdb     *goredis.Client
	prefix  string
	timeout time.Duration
	every   time.Duration // between reports
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
	return &Client{rdb: goredis.NewClient(o), prefix: c.Prefix, timeout: c.Timeout, every: c.ReportEvery, clock: clock}, nil
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
