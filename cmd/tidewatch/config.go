package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "config", Short: "Write, check and show the configuration",
		Long: "The configuration is the file of --config, else ./tidewatch.yaml, else tidewatch-data/tidewatch.yaml. The environment\n" +
			"wins over it (TIDEWATCH_KAFKA__BROKERS sets kafka.brokers), and --set KEY=VALUE over both.",
		Example: "  tidewatch config init\n  tidewatch config check -c tidewatch.yaml\n  tidewatch config show",
	}
	c.AddCommand(a.configInit(), a.configCheck(), a.configShow())
	return c
}

func (a *app) configInit() *cobra.Command {
	var force bool
	var objects string
	c := &cobra.Command{
		Use: "init [FILE|-]", Short: "Write a commented configuration", Args: cobra.MaximumNArgs(1),
		Long:    "Writes a configuration that explains every key, to tidewatch.yaml unless told otherwise; - is standard output.",
		Example: "  tidewatch config init\n  tidewatch config init /etc/tidewatch/tidewatch.yaml --objects s3://bucket/tidewatch\n  tidewatch config init - > tidewatch.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			name := "tidewatch.yaml"
			if len(args) > 0 {
				name = args[0]
			}
			return a.initConfig(name, objects, force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace a file that exists")
	c.Flags().StringVar(&objects, "objects", "", "objects.url: s3://bucket/prefix, or a file:// folder; default a folder here")
	return c
}

func (a *app) initConfig(name, objects string, force bool) error {
	if objects == "" {
		dir, err := os.Getwd()
		if err != nil {
			return fmt.Errorf("find the folder for objects: %w", err)
		}
		objects = "file://" + filepath.ToSlash(filepath.Join(dir, "tidewatch-objects"))
	}
	text := config.Sample(objects)
	if name == "-" {
		_, err := fmt.Fprint(a.out, text)
		return err
	}
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, mode, 0o600) // passwords may come into it
	if errors.Is(err, os.ErrExist) {
		return fail(exitConflict, fmt.Errorf("%s exists: choose another name, or --force to replace it", name))
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	a.say("wrote " + name + "; next: tidewatch config check -c " + name + ", tidewatch doctor -c " + name)
	return nil
}

func (a *app) configCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check [FILE]", Short: "Report all mistakes in the configuration", Args: cobra.MaximumNArgs(1),
		Long: "Reports all mistakes of the configuration that show without asking a server, each with its line and what was probably\n" +
			"meant; files that it names must be there. The exit status is 2 if there are any. tidewatch doctor also asks the servers.",
		Example: "  tidewatch config check\n  tidewatch config check /etc/tidewatch/tidewatch.yaml -o json",
		RunE: func(_ *cobra.Command, args []string) error {
			name := a.configName()
			if len(args) > 0 {
				name = args[0]
			}
			return a.checkConfig(name)
		},
	}
}

func (a *app) checkConfig(name string) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	ps, err := config.Check(name, os.Environ(), a.settings...)
	if err != nil {
		return fail(exitUsage, err)
	}
	if a.output != "table" {
		l := &listing{columns: []string{"file", "line", "column", "message"}}
		for _, p := range ps {
			l.add(p, p.File, strconv.Itoa(p.Line), strconv.Itoa(p.Column), p.Message)
		}
		if err := a.print(l); err != nil {
			return err
		}
	}
	if len(ps) > 0 {
		return fail(exitUsage, fmt.Errorf("%d mistakes\n\n%w", len(ps), ps))
	}
	if name == "" {
		name = "the configuration"
	}
	if a.output == "table" {
		_, err = fmt.Fprintf(a.out, "%s is valid\n", name)
	}
	return err
}

func (a *app) configShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the effective configuration, and where each value comes from", Args: cobra.NoArgs,
		Long: "Shows every key that has a value, and its origin: the default, a line of the file, a variable of the environment, or a\n" +
			"flag. Passwords and keys are hidden.",
		Example: "  tidewatch config show\n  tidewatch config show -c tidewatch.yaml -o json",
		RunE: func(*cobra.Command, []string) error {
			if err := a.checkOutput(); err != nil {
				return err
			}
			all, err := config.Effective(a.configName(), os.Environ(), a.settings...)
			if err != nil {
				return fail(exitUsage, err)
			}
			l := &listing{columns: []string{"key", "value", "origin", "where"}}
			for _, v := range all {
				l.add(v, v.Key, v.Value, v.Origin, v.Where)
			}
			return a.print(l)
		},
	}
}
