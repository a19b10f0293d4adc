package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tidewatch/tidewatch/internal/devstack/postgres"
)

// Stack is a running set of servers. All methods may be called from any goroutine.
type Stack struct {
	folder   *folder
	broker   *broker
	redis    *memory
	postgres *postgres.Server // nil if the DSN was given
	dsn      string

	closing sync.Once
	closed  error
}

// Start starts everything and returns when it can be used. ctx ends the start, not the stack. If it fails nothing is left
// running. A folder in use, and a port on which somebody else listens, are errors that say what to do.
func Start(ctx context.Context, c Config) (*Stack, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Progress = oneAtATime(c.Progress)
	f, err := openFolder(c)
	if err != nil {
		return nil, err
	}
	s := &Stack{folder: f, dsn: c.PostgresDSN}
	if err := s.start(ctx, c); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// oneAtATime makes a function that may be called by several goroutines.
func oneAtATime(progress func(string)) func(string) {
	if progress == nil {
		return func(string) {}
	}
	var mu sync.Mutex
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		progress(text)
	}
}

// start fills the stack; what it started is in it, also when it fails.
func (s *Stack) start(ctx context.Context, c Config) error {
	l, err := listenKafka(ctx, c.KafkaListen) // before anything that takes long
	if err != nil {
		return err
	}
	if ip := address(l); !ip.IsLoopback() {
		c.Log.Warn("the embedded Kafka is open to the network and asks for no password", "address", l.Addr().String())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		c.Progress("starting Kafka on " + l.Addr().String())
		var err error
		if s.broker, err = startBroker(c, s.folder.join("kafka"), l); err != nil || c.KafkaUp == nil {
			return err
		}
		return c.KafkaUp(ctx, s.Brokers())
	})
	if c.PostgresDSN == "" {
		g.Go(func() error { return s.startPostgres(ctx, c) })
	}
	if s.redis, err = startRedis(ctx, c); err != nil {
		return errors.Join(err, g.Wait())
	}
	return g.Wait()
}

func address(l net.Listener) net.IP {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return a.IP
	}
	return nil
}

func (s *Stack) startPostgres(ctx context.Context, c Config) error {
	server, err := postgres.Start(ctx, postgres.Config{
		Dir: s.folder.join("postgres"), Volatile: c.Ephemeral, Clock: c.Clock, Log: c.Log, Progress: c.Progress,
	})
	if err != nil {
		return err
	}
	s.postgres, s.dsn = server, server.DSN()
	return nil
}

// Brokers are the addresses of Kafka.
func (s *Stack) Brokers() []string { return []string{s.broker.address} }

// RedisURL is the address of Redis.
func (s *Stack) RedisURL() string { return s.redis.url() }

// PostgresDSN is the address of the database, with its password, or the DSN that was given.
func (s *Stack) PostgresDSN() string { return s.dsn }

// ObjectsURL is the address of the folder of objects.
func (s *Stack) ObjectsURL() string {
	return (&url.URL{Scheme: "file", Path: s.folder.join("objects")}).String()
}

// Dir is the absolute path of the data folder.
func (s *Stack) Dir() string { return s.folder.path }

// Died is closed when a part has died for good; it is nil, and blocks for ever, if no part can. The parts within this
// process live as long as it does; PostgreSQL is started again several times before it counts as dead.
func (s *Stack) Died() <-chan struct{} {
	if s.postgres == nil {
		return nil
	}
	return s.postgres.Done()
}

// Err says what has died and why; nil after Close. It is valid after Died.
func (s *Stack) Err() error {
	if s.postgres == nil {
		return nil
	}
	return s.postgres.Err()
}

// Close stops everything that was started, within seconds; stop what uses it first. It may be called more than once.
func (s *Stack) Close() error {
	s.closing.Do(func() {
		var errs []error
		if s.redis != nil {
			errs = append(errs, s.redis.close())
		}
		if s.broker != nil { // before PostgreSQL, whose rows hold offsets of the log: the log is never the older of the two
			errs = append(errs, s.broker.close())
		}
		if s.postgres != nil {
			errs = append(errs, s.postgres.Close())
		}
		if err := errors.Join(append(errs, s.folder.close())...); err != nil {
			s.closed = fmt.Errorf("stop the embedded servers: %w", err)
		}
	})
	return s.closed
}
