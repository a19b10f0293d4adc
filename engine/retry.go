package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tidewatch/tidewatch/stream"
)

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// again repeats do while its error is marked Retry, with growing pauses. It reports the first failure of a row of them,
// and the recovery, so that a dead dependency fills no log.
func again(ctx context.Context, clock stream.Clock, log *slog.Logger, what string, do func(context.Context) error) error {
	wait, failed := firstBackoff, false
	for {
		err := do(ctx)
		if err == nil {
			if failed {
				log.Info("works again", "step", what)
			}
			return nil
		}
		if ctx.Err() != nil || stream.KindOfError(err) != stream.Retry || errors.Is(err, stream.ErrStartOver) {
			return err
		}
		if !failed {
			log.Warn("trying again", "step", what, "error", err)
			failed = true
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-clock.After(wait):
		}
		wait = min(2*wait, lastBackoff)
	}
}
