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
	rate                      float64
	share                     float64
	epochs                    durations
	internal                  numbers
	asJSON                    bool
}

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
	o := &options{epochs: durations{200 * time.Millisecond, time.Second, 10 * time.Second}, internal: numbers{64, 256}}
	f := flag.NewFlagSet("fleet", flag.ContinueOnError)
	f.IntVar(&o.workers, "workers", 1000, "workers")
	f.IntVar(&o.partitions, "partitions", 10_000, "partitions of the source topic, one task each")
	f.IntVar(&o.runs, "runs", 5, "how often each assignment is made; the median counts")
	f.Float64Var(&o.rate, "rate", 1000, "events a second in each partition")
	f.Float64Var(&o.share, "share", 0.01, "the largest share of records that marks should be")
	f.Var(&o.epochs, "epochs", "intervals of epochs, with commas")
	f.Var(&o.internal, "internal", "numbers of internal partitions that are looked at beside the product's own, with commas, up to 256")
	f.BoolVar(&o.asJSON, "json", false, "one JSON object instead of the tables")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "usage: fleet [flags]\n\nfleet tells what many workers cost around the events: it runs the code of the product, and computes the rest.\n\n"+
			"  fleet                                    1,000 workers, 10,000 partitions\n"+
			"  fleet -workers 50 -partitions 400 -json  a smaller fleet, for a program\n\n")
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
	switch {
	case o.workers < 2 || o.partitions < 1 || o.runs < 1:
		return errors.New("-workers must be at least 2, -partitions and -runs at least 1")
	case o.rate <= 0 || o.share <= 0 || o.share >= 1:
		return errors.New("-rate must be above 0, -share between 0 and 1")
	}
	for _, n := range o.internal {
		if n > maxInternal {
			return fmt.Errorf("-internal %d: groups lie in %d slots, so there are at most as many internal partitions", n, maxInternal)
		}
	}
	return nil
}

func fleet(_ context.Context, args []string) error {
	f, o := flags()
	if err := o.parse(f, args); err != nil {
		return err
	}
	r := &report{Workers: o.workers, Partitions: o.partitions, Machine: machine()}
	progress("assigning %d partitions to %d workers", o.partitions, o.workers)
	var err error
	if r.Assignments, err = assignments(o); err != nil {
		return err
	}
	if r.Marks, err = marks(o); err != nil {
		return err
	}
	if o.asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	return r.print(os.Stdout)
}

// progress tells on standard error what is going on.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format("15:04:05"), strings.TrimSpace(fmt.Sprintf(format, args...)))
}
