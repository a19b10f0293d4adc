package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/tidewatch/tidewatch/internal/config"
	"github.com/tidewatch/tidewatch/internal/objects"
	"github.com/tidewatch/tidewatch/sinks/postgres"
	"github.com/tidewatch/tidewatch/sinks/redis"
)

func (e *examination) examineRedis(ctx context.Context) {
	redis.RouteLog(slog.New(slog.DiscardHandler)) // what it says is in the findings
	const fix = "check redis.url and that Redis runs"
	opts, err := goredis.ParseURL(e.config.Redis.URL)
	if err != nil {
		e.fail("redis", fix, "redis.url cannot be read")
		return
	}
	opts.DialTimeout, opts.ReadTimeout, opts.MaxRetries = checkPatience, checkPatience, -1
	cl := goredis.NewClient(opts)
	defer func() { _ = cl.Close() }() // nothing was written
	before := now()
	theirs, err := cl.Time(ctx).Result()
	after := now()
	if err != nil {
		e.fail("redis", fix, "%s does not answer: %v", config.WithoutPassword(e.config.Redis.URL), err)
		return
	}
	info := infoOf(cl.Info(ctx).Val())
	version := info["redis_version"]
	if version == "" {
		version = "unknown version"
	}
	e.ok("redis", "%s at %s", version, config.WithoutPassword(e.config.Redis.URL))
	if p := info["maxmemory_policy"]; strings.HasPrefix(p, "allkeys") {
		e.warn("redis", "CONFIG SET maxmemory-policy noeviction", "maxmemory-policy is %s: rollups vanish when memory is short", p)
	}
	e.examineClock("redis", before, theirs, after)
}

// infoOf reads the answer to INFO.
func infoOf(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[k] = v
		}
	}
	return all
}

// postgresState is what the server says about itself.
const postgresState = `SELECT current_setting('server_version'), clock_timestamp(), pg_is_in_recovery(),
	current_setting('fsync'), to_regclass('tidewatch_tasks') IS NOT NULL`

func (e *examination) examinePostgres(ctx context.Context) {
	address := config.WithoutPassword(e.config.Postgres.DSN)
	p := postgres.Default()
	p.DSN = e.config.Postgres.DSN
	limited, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	db, err := postgres.Open(limited, p)
	if err != nil {
		e.fail("postgres", "check postgres.dsn and that PostgreSQL runs", "%s does not answer: %v", address, oneLine(err))
		return
	}
	defer db.Close()
	var version, fsync string
	var standby, migrated bool
	var theirs time.Time
	before := now()
	err = db.Pool().QueryRow(limited, postgresState).Scan(&version, &theirs, &standby, &fsync, &migrated)
	after := now()
	if err != nil {
		e.fail("postgres", "check postgres.dsn and that PostgreSQL runs", "%s does not answer: %v", address, oneLine(err))
		return
	}
	e.ok("postgres", "%s at %s", version, address)
	if standby {
		e.fail("postgres", "let postgres.dsn name the primary", "it is a standby and cannot be written to")
	}
	if fsync == "off" {
		e.warn("postgres", "set fsync = on", "fsync is off: a power failure loses what was committed")
	}
	e.examineClock("postgres", before, theirs, after)
	if !migrated {
		e.warn("postgres", "start a worker: it creates the tables", "the tables do not exist yet")
		return
	}
	e.examineTasks(ctx, db)
}

// examineObjects writes an object, reads it back, and removes it.
func (e *examination) examineObjects(ctx context.Context) {
	o := e.config.Objects
	if o.URL == "" {
		return // said already
	}
	const fix = "check objects.url, its keys and rights; a folder must be writable for this user"
	store, err := objects.Open(ctx, objects.Config{URL: o.URL, Endpoint: o.Endpoint, Region: o.Region, AccessKey: o.AccessKey, SecretKey: o.SecretKey})
	if err != nil {
		e.fail("object store", fix, "%v", oneLine(err))
		return
	}
	key := fmt.Sprintf("doctor/%s-%d", hostname(), os.Getpid())
	want := []byte("tidewatch doctor")
	err = store.Put(ctx, key, want)
	if err == nil {
		var got []byte
		if got, err = store.Get(ctx, key); err == nil && !bytes.Equal(got, want) {
			err = errors.New("it gives back something else than was written")
		}
		err = errors.Join(err, store.Delete(ctx, key))
	}
	if err == nil {
		if _, gone := store.Get(ctx, key); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.New("a deleted object is still there")
		}
	}
	if err != nil {
		e.fail("object store", fix, "%s: %v", o.URL, oneLine(err))
		return
	}
	e.ok("object store", "%s can be written, read and deleted from", o.URL)
}
