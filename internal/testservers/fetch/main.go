// Command fetch puts the servers and programs that the tests need into the cache folder (TIDEWATCH_CACHE, else "tidewatch"
// in the user's cache folder). What the system has is left alone; what is there already costs nothing. Several may run at
// once: each download happens once.
//
//	go run ./internal/testservers/fetch                  everything
//	go run ./internal/testservers/fetch kafka redis      only these
//
// Nothing is installed system-wide unless TIDEWATCH_TEST_INSTALL=1. It ends with 1 if something that was named, or that
// TIDEWATCH_TEST_REQUIRE names, could not be had.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := flag.NewFlagSet("fetch", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "usage: fetch [%s]…\n", strings.Join(names(everything()), "|"))
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	wanted, err := choose(everything(), flags.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		return 2
	}
	cache, err := testservers.Cache()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		return 1
	}
	f := &fetcher{
		cache: cache, install: os.Getenv("TIDEWATCH_TEST_INSTALL") == "1" && os.Geteuid() == 0, out: os.Stderr, clock: clock.System{},
	}
	return f.all(ctx, wanted, append(flags.Args(), strings.Split(os.Getenv(testservers.Require), ",")...))
}

// item is one thing that can be fetched.
type item struct {
	name string
	find func(cache string) (where string, err error)
	get  func(context.Context, *fetcher) error
}

func everything() []item {
	return []item{
		{testservers.NameRedis, findBinary(testservers.FindRedis), getRedis},
		{testservers.NamePostgres, findBinary(testservers.FindPostgres), getPostgres},
		{testservers.NameKafka, findKafka, getKafka},
		{testservers.NameS3, findBinary(testservers.FindS3), getS3},
		{testservers.NamePython, testservers.FindPython, getPython},
		{testservers.NameChromium, findChromium, getChromium},
		{testservers.NameNPM, findPackages, getPackages},
	}
}

func findBinary(find func(string) (testservers.Binary, error)) func(string) (string, error) {
	return func(cache string) (string, error) {
		binary, err := find(cache)
		return binary.Path, err
	}
}

func names(items []item) []string {
	var all []string
	for _, i := range items {
		all = append(all, i.name)
	}
	return all
}

// choose picks the items by name; all of them if none is named.
func choose(items []item, wanted []string) ([]item, error) {
	for _, name := range wanted {
		if !slices.Contains(names(items), name) {
			return nil, fmt.Errorf("unknown server %q, know %s", name, strings.Join(names(items), ", "))
		}
	}
	if len(wanted) == 0 {
		return items, nil
	}
	return slices.DeleteFunc(items, func(i item) bool { return !slices.Contains(wanted, i.name) }), nil
}
