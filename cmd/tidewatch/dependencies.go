package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/tidewatch/tidewatch/serve"
	"github.com/tidewatch/tidewatch/stream"
)

// Looking whether what the worker needs answers.
const (
	needsEvery    = 2 * time.Second
	needsSoon     = 250 * time.Millisecond // while one is away: at the start, somebody waits for readiness
	needsPatience = 5 * time.Second        // a server that stands still is away, too
	seldomEvery   = 5 * time.Second
)

// dependencies tells what the worker needs and does not get, and since when. Safe for concurrent use once run has begun.
type dependencies struct {
	checks map[string]func(context.Context) error // by name
	clock  stream.Clock
	log    *slog.Logger

	mu struct {
		sync.Mutex
		looked bool
		away   map[string]absence
	}
}

// contentOfRedis names the one that is not a server: whether everything is in Redis.
const contentOfRedis = "content of Redis"

// checkObjects asks for an object that nobody writes: that it is missing is an answer.
func checkObjects(objects stream.Objects) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := objects.Get(ctx, "state/check"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
}

// seldom spares most of the questions where each is paid for: after a good answer it asks no more for a while.
func seldom(clock stream.Clock, check func(context.Context) error) func(context.Context) error {
	var mu sync.Mutex
	var good time.Time
	return func(ctx context.Context) error {
		mu.Lock()
		fresh := clock.Now().Sub(good) < seldomEvery
		mu.Unlock()
		if fresh {
			return nil
		}
		err := check(ctx)
		if err == nil {
			mu.Lock()
			good = clock.Now()
			mu.Unlock()
		}
		return err
	}
}

// absence is why something is away, and since when.
type absence struct {
	since time.Time
	err   error
}

// run looks until ctx is done.
func (d *dependencies) run(ctx context.Context) error {
	for ctx.Err() == nil {
		pause := needsEvery
		if !d.look(ctx) {
			pause = needsSoon
		}
		select {
		case <-ctx.Done():
		case <-d.clock.After(pause):
		}
	}
	return nil
}

// look asks all of them at once, so that one that stands still delays nothing of the others for longer than its patience, and
// reports whether all answered.
func (d *dependencies) look(ctx context.Context) bool {
	began := d.clock.Now()
	errs := map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range d.checks {
		wg.Go(func() {
			limited, cancel := context.WithTimeout(ctx, needsPatience)
			defer cancel()
			err := check(limited)
			mu.Lock()
			defer mu.Unlock()
			errs[name] = err
		})
	}
	wg.Wait()
	if ctx.Err() == nil {
		d.note(began, errs)
	}
	return d.ready() == nil
}

// note keeps what a look has found, and logs what has changed.
func (d *dependencies) note(at time.Time, errs map[string]error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.mu.away
	d.mu.looked, d.mu.away = true, map[string]absence{}
	for _, name := range sortedKeys(errs) {
		was, away := before[name]
		switch err := errs[name]; {
		case err != nil && away:
			d.mu.away[name] = absence{was.since, err}
		case err != nil:
			d.mu.away[name] = absence{at, err}
			d.log.Warn("away: "+name, "error", err)
		case away:
			d.log.Info("back: "+name, "away", d.clock.Now().Sub(was.since).Round(time.Second).String())
		}
	}
}

// status lists all of them for the API.
func (d *dependencies) status() []serve.DependencyStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := []serve.DependencyStatus{}
	for _, name := range sortedKeys(d.checks) {
		s := serve.DependencyStatus{Name: name}
		if a, away := d.mu.away[name]; away {
			since := serve.Instant(stream.TimeOf(a.since))
			s.AwaySince, s.Problem = &since, a.err.Error()
		}
		all = append(all, s)
	}
	return all
}

// ready is nil when everything answers.
func (d *dependencies) ready() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mu.looked {
		return errors.New("it is not known yet whether what this worker needs answers")
	}
	var errs []error
	for _, name := range sortedKeys(d.mu.away) {
		a := d.mu.away[name]
		errs = append(errs, fmt.Errorf("%s, since %s: %w", name, a.since.UTC().Format(time.RFC3339), a.err))
	}
	// This one is known without a question, so what is told of it is never too late.
	if _, away := d.mu.away[contentOfRedis]; !away && d.checks[contentOfRedis] != nil {
		if err := d.checks[contentOfRedis](context.Background()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", contentOfRedis, err))
		}
	}
	return errors.Join(errs...)
}

// away is how long each of them has been away; 0 while it answers.
func (d *dependencies) away() map[string]time.Duration {
	now := d.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]time.Duration{}
	for name := range d.checks {
		all[name] = 0
		if a, away := d.mu.away[name]; away {
			all[name] = max(now.Sub(a.since), 0)
		}
	}
	return all
}
