// Command fleet tells what a large fleet of workers costs around the events themselves: the assignment of partitions, claims,
// requests to the object store, marks. What one machine can run is run, with the code of the product; what follows from
// configuration is arithmetic, and the tables say so. `make show-fleet` runs it, and benchmarks/README.md says how to read it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(command()) }

func command() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := fleet(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "fleet: "+err.Error())
		return 1
	}
	return 0
}

// options are the flags.
type options struct {
	workers, partitions, runs int
	rate, share               float64
	epochs                    durations
	internal, packs           numbers
	connections               int
	claimFor                  time.Duration
	fsync                     bool
	price                     prices
	parts                     string
	asJSON                    bool
}

// The parts, in the order in which they are printed.
const (
	partAssignment = "assignment"
	partClaims     = "claims"
	partObjects    = "objects"
	partMarks      = "marks"
)

func parts() []string { return []string{partAssignment, partClaims, partObjects, partMarks} }

// wants is whether a part was asked for.
func (o *options) wants(part string) bool { return slices.Contains(strings.Split(o.parts, ","), part) }

// durations is a list, as in 200ms,1s. It implements flag.Value.
type durations []time.Duration

// String implements flag.Value.
func (d *durations) String() string {
	texts := make([]string, len(*d))
	for i, v := range *d {
		texts[i] = v.String()
	}
	return strings.Join(texts, ",")
}

// Set implements flag.Value.
func (d *durations) Set(text string) error {
	*d = nil
	for one := range strings.SplitSeq(text, ",") {
		v, err := time.ParseDuration(strings.TrimSpace(one))
		if err != nil || v <= 0 {
			return fmt.Errorf("%q is no duration above 0; write 200ms,1s", one)
		}
		*d = append(*d, v)
	}
	return nil
}

// numbers is a list, as in 1,10. It implements flag.Value.
type numbers []int

// String implements flag.Value.
func (n *numbers) String() string {
	texts := make([]string, len(*n))
	for i, v := range *n {
		texts[i] = strconv.Itoa(v)
	}
	return strings.Join(texts, ",")
}

// Set implements flag.Value.
func (n *numbers) Set(text string) error {
	*n = nil
	for one := range strings.SplitSeq(text, ",") {
		v, err := strconv.Atoi(strings.TrimSpace(one))
		if err != nil || v < 1 {
			return fmt.Errorf("%q is no number above 0; write 1,10", one)
		}
		*n = append(*n, v)
	}
	return nil
}

func flags() (*flag.FlagSet, *options) {
	o := &options{epochs: durations{200 * time.Millisecond, time.Second, 10 * time.Second}, internal: numbers{64, 256}, packs: numbers{1, 10, 64}}
	f := flag.NewFlagSet("fleet", flag.ContinueOnError)
	f.IntVar(&o.workers, "workers", 1000, "workers")
	f.IntVar(&o.partitions, "partitions", 10_000, "partitions of the source topic, one task each")
	f.StringVar(&o.parts, "parts", strings.Join(parts(), ","), "parts to run, with commas; "+partClaims+" starts a PostgreSQL, "+partObjects+" an S3 server")
	f.IntVar(&o.runs, "runs", 5, "how often each assignment is made; the median counts")
	f.Float64Var(&o.rate, "rate", 1000, "events a second in each partition")
	f.Float64Var(&o.share, "share", 0.01, "the largest share of records that marks should be")
	f.Var(&o.epochs, "epochs", "intervals of epochs, with commas")
	f.Var(&o.internal, "internal", "numbers of internal partitions that are looked at beside the product's own, with commas, up to 256")
	f.Var(&o.packs, "packs", "numbers of tasks in a claim, with commas")
	f.IntVar(&o.connections, "connections", 0, "connections that claim at the same time, each for tasks of its own; 0 is 64, or one for each worker if they are fewer")
	f.DurationVar(&o.claimFor, "claim-for", 5*time.Second, "how long claims of each pack are measured")
	f.BoolVar(&o.fsync, "fsync", true, "PostgreSQL waits for the disk at each commit")
	f.Float64Var(&o.price.Write, "price-write", 0.005, "money for 1,000 PUT, COPY and LIST requests; the default is a list price of S3 Standard in dollars, and may change")
	f.Float64Var(&o.price.Read, "price-read", 0.0004, "the same for GET and HEAD; DELETE costs nothing")
	f.BoolVar(&o.asJSON, "json", false, "one JSON object instead of the tables")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "usage: fleet [flags]\n\nfleet tells what many workers cost around the events: it runs the code of the product, and computes the rest.\n\n"+
			"  fleet                                     1,000 workers, 10,000 partitions\n"+
			"  fleet -workers 50 -partitions 5000 -json  a smaller fleet, for a program\n"+
			"  fleet -parts assignment,marks             what needs no servers\n\n")
		f.PrintDefaults()
	}
	return f, o
}

func (o *options) parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q is no flag; see -h", f.Arg(0))
	}
	return o.check()
}

func (o *options) check() error {
	if o.connections == 0 {
		o.connections = min(64, o.workers)
	}
	switch {
	case o.workers < 2 || o.partitions < o.workers || o.runs < 1:
		return errors.New("-workers must be at least 2, -partitions at least as many, -runs at least 1")
	case o.connections < 0 || o.connections > o.workers:
		return fmt.Errorf("-connections %d: a worker claims over one at a time, so there are at most as many as -workers", o.connections)
	case o.claimFor < time.Second:
		return errors.New("-claim-for must be at least 1s: epochs are as long")
	case o.price.Write < 0 || o.price.Read < 0:
		return errors.New("-price-write and -price-read must not be below 0")
	case o.rate <= 0 || o.share <= 0 || o.share >= 1:
		return errors.New("-rate must be above 0, -share between 0 and 1")
	}
	for part := range strings.SplitSeq(o.parts, ",") {
		if !slices.Contains(parts(), part) {
			return fmt.Errorf("-parts %q: there are %s", part, strings.Join(parts(), ","))
		}
	}
	if most := slices.Max(o.packs) * o.connections; o.wants(partClaims) && most > o.partitions {
		return fmt.Errorf("-packs %d: with %d -connections it takes %d -partitions, since each connection has tasks of its own", slices.Max(o.packs), o.connections, most)
	}
	for _, n := range o.internal {
		if n > maxInternal {
			return fmt.Errorf("-internal %d: groups lie in %d slots, so there are at most as many internal partitions", n, maxInternal)
		}
	}
	return nil
}

func fleet(ctx context.Context, args []string) error {
	f, o := flags()
	if err := o.parse(f, args); err != nil {
		return err
	}
	r, err := o.run(ctx)
	if err != nil {
		return err
	}
	if o.asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	return r.print(os.Stdout)
}

// run finds out what was asked for.
func (o *options) run(ctx context.Context) (r *report, err error) {
	r = &report{Workers: o.workers, Partitions: o.partitions, Rate: o.rate, Machine: machine()}
	if o.wants(partAssignment) {
		progress("assigning %d partitions to %d workers", o.partitions, o.workers)
		if r.Assignments, err = assignments(o); err != nil {
			return nil, err
		}
	}
	if o.wants(partMarks) {
		if r.Marks, err = marks(o); err != nil {
			return nil, err
		}
	}
	if !o.wants(partClaims) && !o.wants(partObjects) {
		return r, nil
	}
	p := usualPace()
	progress("running one task for %s of event time, %d times as fast", p.length, p.speed)
	task, err := runTask(ctx, p)
	if err != nil {
		return nil, err
	}
	if o.wants(partObjects) {
		if r.Objects, err = objectCosts(ctx, o, task); err != nil {
			return nil, err
		}
	}
	if o.wants(partClaims) {
		r.Claims, err = claims(ctx, o, task.row())
	}
	return r, err
}

// progress tells on standard error what is going on.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format("15:04:05"), strings.TrimSpace(fmt.Sprintf(format, args...)))
}
