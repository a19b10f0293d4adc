package main

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/serve"
)

// Open files: a worker needs a few for each broker, client and staged file.
const (
	fewFiles    = 1024
	enoughFiles = 4096
)

func (e *examination) examineLimits(context.Context) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		e.warn("open files", "", "the limit cannot be read: %v", err)
		return
	}
	const fix = "raise it: ulimit -n 65536, or LimitNOFILE=65536 in the unit file"
	switch {
	case l.Cur < fewFiles:
		e.fail("open files", fix, "this process may open %d", l.Cur)
	case l.Cur < enoughFiles:
		e.warn("open files", fix, "this process may open %d", l.Cur)
	default:
		e.ok("open files", "this process may open %d", l.Cur)
	}
	if file := e.config.HTTP.Tokens; file != "" {
		tokens, err := serve.LoadTokens(file)
		if err != nil {
			e.fail("tokens", "", "%v", firstLine(err))
			return
		}
		e.ok("tokens", "%d in %s", len(tokens), file)
	}
}

// Clocks that differ by more than a little confuse people; by more than a minute, events of one machine look like the future
// to another (max_jump).
const (
	someSkew = 500 * time.Millisecond
	muchSkew = time.Minute
)

// examineClock compares a server's clock with ours; it was read between before and after.
func (e *examination) examineClock(check string, before, theirs, after time.Time) {
	skew := theirs.Sub(before.Add(after.Sub(before) / 2))
	uncertain := after.Sub(before) / 2
	const fix = "synchronize both machines by NTP: chronyc tracking, timedatectl"
	switch off := max(skew.Abs()-uncertain, 0); {
	case off > muchSkew:
		e.fail(check, fix, "its clock is %s off ours", skew.Round(time.Millisecond))
	case off > someSkew:
		e.warn(check, fix, "its clock is %s off ours", skew.Round(time.Millisecond))
	default:
		e.ok(check, "its clock agrees within %s", max(uncertain, time.Millisecond).Round(time.Millisecond))
	}
}

// examineServer asks the API of this machine, if there is one, or that of --server.
func (e *examination) examineServer(ctx context.Context) {
	base := "http://" + e.config.HTTP.Listen
	if e.app.server != "" {
		base = strings.TrimSuffix(e.app.server, "/")
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", http.NoBody)
	if err != nil {
		e.fail("server", "", "%v", err)
		return
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		e.warn("server", "start one: tidewatch serve", "nobody answers at %s", base)
		return
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		e.ok("server", "%s is ready", base)
	case http.StatusServiceUnavailable:
		e.fail("server", "see its log, and tidewatch top --server "+base, "%v", firstLine(problemError(base, res)))
	default:
		e.fail("server", "choose another http.listen", "somebody else answers at %s: %s", base, res.Status)
	}
}

// firstLine is the beginning of an error that explains itself at length.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// oneLine is an error without breaks and indentation.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func now() time.Time { return clock.System{}.Now() }
