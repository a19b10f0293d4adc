// Command show shows that what the documents promise holds, on real servers and real processes: one JSON line for each
// claim, exit status 0 only when it holds. The Makefile has a target for each.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// shows is the table of all claims.
func shows() map[string]func(ctx context.Context, args []string) error {
	return map[string]func(context.Context, []string) error{
		"exact": exact, "restart": restart, "up": up, "uphour": upHour, "bench": bench, "fetch": fetch,
		"cloudtrail": cloudtrail, "foreign": foreign, "detect": detect, "viewers": viewers,
		"first-data": firstData, "first-minutes": firstMinutes, "outage": outage, "burst": burst, "alert-latency": alertLatency, "recovery": recoverWorker,
		"replay": replayDemo,
	}
}

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 || shows()[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: show exact|restart|cloudtrail|foreign|up|uphour|bench|fetch|detect|viewers|first-data|first-minutes|outage|burst|alert-latency|recovery|replay [flags]")
		return 2
	}
	if err := shows()[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "show "+os.Args[1]+": "+err.Error())
		return 1
	}
	return 0
}

// progress tells on standard error what is going on.
func progress(format string, args ...any) { bed.Progress(format, args...) }

func workFolder(keep, name string) (dir string, done func(error) error, err error) {
	return bed.WorkFolder(keep, name)
}

func machine() string { return bed.Machine() }
