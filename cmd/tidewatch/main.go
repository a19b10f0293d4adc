// Command tidewatch is the whole product: workers, API, and the tools around them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, as promised to scripts.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitConflict    = 5
	exitPartial     = 6
	exitDependency  = 7
	exitCheck       = 8
	exitInterrupted = 130
)

// coded is an error with the exit code that it deserves.
type coded struct {
	code int
	err  error
}

func (c coded) Error() string { return c.err.Error() }
func (c coded) Unwrap() error { return c.err }

// fail gives err an exit code; nil stays nil.
func fail(code int, err error) error {
	if err == nil {
		return nil
	}
	return coded{code, err}
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with its surroundings, so that tests can call it in the same process.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: in, out: out, errs: errs}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var c coded
	switch {
	case errors.As(err, &c):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		c.code = exitInterrupted
	default:
		c.code = exitFailed
	}
	if c.code != exitInterrupted && err.Error() != "" {
		fmt.Fprintln(errs, "tidewatch: "+err.Error())
	}
	return c.code
}

// app is what all commands share: streams and global flags.
type app struct {
	in        io.Reader
	out, errs io.Writer
	config    string
	settings  []string // KEY=VALUE of the configuration
	server    string
	output    string
	quiet     bool
	verbose   bool
	noColor   bool
}

// root builds the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tidewatch",
		Short: "Stream processor for monitoring and security events",
		Long: "Tidewatch turns the metric and security events of a platform into live rollups, alerts and an archive.\n" +
			"Events come from Kafka; rollups go to Redis, files to object storage, alerts to Postgres.",
		Example:       "  tidewatch up                       # everything on this machine, with a demo\n  tidewatch serve -c tidewatch.yaml  # a worker of a cluster",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.config, "config", "c", os.Getenv("TIDEWATCH_CONFIG"), "configuration file (tidewatch.yaml)")
	f.StringArrayVar(&a.settings, "set", nil, "a value of the configuration, KEY=VALUE, such as kafka.brokers=a:9092; may be repeated")
	f.StringVar(&a.server, "server", "", "address of a running server, http://host:port")
	f.StringVarP(&a.output, "output", "o", "table", "form of the output: table, json, jsonl or csv")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, no hints")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log more")
	f.BoolVar(&a.noColor, "no-color", os.Getenv("NO_COLOR") != "", "no colours")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fail(exitUsage, fmt.Errorf("%w; see %s --help", err, c.CommandPath()))
	})
	root.AddCommand(a.upCommand(), a.serveCommand(), a.pipelineCommand(), a.queryCommand(), a.alertCommand(), a.dlqCommand(), a.ledgerCommand(), a.refillCommand(), a.replayCommand(),
		a.genCommand(), a.configCommand(), a.tokenCommand(), a.doctorCommand(), a.topCommand(), a.completionCommand(), a.manCommand(), a.versionCommand())
	root.SetHelpCommand(helpCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	for _, c := range root.Commands() {
		strict(c)
	}
	a.complete(root)
	return root
}

// strict makes wrong arguments a usage error.
func strict(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return fail(exitUsage, fmt.Errorf("%w; see %s --help", err, c.CommandPath()))
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}
