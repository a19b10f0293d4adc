package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

// fetcher is one run of the command.
type fetcher struct {
	cache   string
	install bool // may install Debian packages system-wide
	out     io.Writer
	clock   stream.Clock
}

// all fetches the items one after the other and answers the exit code: a failure counts only for what is required.
func (f *fetcher) all(ctx context.Context, items []item, required []string) int {
	code := 0
	for _, i := range items {
		where, err := f.one(ctx, i)
		if err == nil {
			f.say("%s: %s", i.name, where)
			continue
		}
		f.say("%s: not to be had: %v", i.name, err)
		if slices.Contains(required, i.name) || ctx.Err() != nil {
			code = 1
		}
	}
	return code
}

// one finds the item or fetches it. Only one process fetches an item at a time; the others wait and find it.
func (f *fetcher) one(ctx context.Context, i item) (string, error) {
	if where, err := i.find(f.cache); err == nil {
		return where, nil
	}
	unlock, err := f.lock(ctx, i.name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if where, err := i.find(f.cache); err == nil {
		return where, nil
	}
	if err := i.get(ctx, f); err != nil {
		return "", err
	}
	return i.find(f.cache)
}

// lock waits until no other process fetches the item. The kernel frees the lock of a killed process.
func (f *fetcher) lock(ctx context.Context, name string) (unlock func(), err error) {
	if err := os.MkdirAll(f.cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(f.cache, "."+name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", name, err)
	}
	for waiting := false; ; waiting = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), file.Close())
		}
		if !waiting {
			f.say("%s: another process is fetching it, waiting", name)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-f.clock.After(200 * time.Millisecond):
		}
	}
}

// build runs fill on an empty folder, which takes its final name only when it is complete.
func (f *fetcher) build(final string, fill func(dir string) error) error {
	dir, err := os.MkdirTemp(f.cache, ".part-")
	if err != nil {
		return fmt.Errorf("make a folder for the download: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("open the folder of the download: %w", err)
	}
	if err := fill(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(final); err != nil { // an incomplete one from elsewhere
		return fmt.Errorf("make room for the download: %w", err)
	}
	if err := os.Rename(dir, final); err != nil {
		return fmt.Errorf("put the download in place: %w", err)
	}
	return nil
}

func (f *fetcher) say(format string, args ...any) {
	fmt.Fprintf(f.out, "fetch: "+format+"\n", args...)
}

// command is a program to run, with what to tell the person who waits.
type command struct {
	what string // "kafka: Maven downloads the jars"; nothing is said if it is empty
	dir  string
	env  []string // in addition to ours
	args []string
}

// run runs the command, says every ten seconds that it still does, and answers its standard output.
func (f *fetcher) run(ctx context.Context, c command) (string, error) {
	if c.what != "" {
		f.say("%s", c.what)
		defer f.reassure(c.what, f.clock.Now())()
	}
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		// Maven complains on standard output, the others on standard error.
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, lastLines(out.String()+errs.String(), 15))
	}
	return out.String(), nil
}

// reassure prints a line every ten seconds until stop is called.
func (f *fetcher) reassure(what string, start time.Time) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case now := <-f.clock.After(10 * time.Second):
				f.say("%s: %s so far", what, now.Sub(start).Round(time.Second))
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
