package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/serve"
)

// applyFlags are those of `pipeline apply`.
type applyFlags struct {
	dryRun, untested, wait bool
	by                     string
}

// applyPatience is how long a version that has just begun may take until another can follow it.
const applyPatience = 30 * time.Second

func (a *app) pipelineApply() *cobra.Command {
	f := &applyFlags{}
	c := &cobra.Command{
		Use: "apply FILE …", Short: "Let changed pipelines follow those that run, without a restart",
		Long: "Makes each pipeline of the files a new version that follows the running one at a cut: windows that start before it stay\n" +
			"those of the old version, which ends when all of them are final; all others are the new version's. Queries read across\n" +
			"both. Rules go on with the alerts of the rule of the same name; what the new version has not taken on ends at the cut.\n" +
			"A pipeline that does not run yet begins. The cases of the files must pass. From then on the applied version runs, also\n" +
			"after a restart, whatever the workers' files say.\n\n" +
			"The exit status is 8 if a case fails, and 2 if the version that runs cannot be followed.",
		Example: "  tidewatch pipeline apply my-pipelines/host-cpu.yaml\n  tidewatch pipeline apply --dry-run host-cpu.yaml\n" +
			"  tidewatch replay --pipeline host-cpu.yaml --since now-1h --diff   # before: what would it have done?",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.applyFiles(c.Context(), args, f) },
	}
	fl := c.Flags()
	fl.BoolVar(&f.dryRun, "dry-run", false, "check the files, and say what would happen")
	fl.BoolVar(&f.untested, "skip-cases", false, "apply although cases fail")
	fl.BoolVar(&f.wait, "wait", false, "wait until the new versions have passed the cut")
	fl.StringVar(&f.by, "by", "", "who applies it; default the user's name")
	return c
}

func (a *app) applyFiles(ctx context.Context, files []string, f *applyFlags) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if err := a.mayApply(ctx, files, f); err != nil {
		return err
	}
	c, err := a.applyTo()
	if err != nil {
		return err
	}
	defer c.stop()
	if f.by == "" && c.token == "" {
		if u, err := user.Current(); err == nil {
			f.by = u.Username
		}
	}
	l := &listing{columns: []string{"pipeline", "instance", "before", "since", "inherits", "fresh"}}
	for _, file := range files {
		answer, err := a.applyFile(ctx, c, file, f)
		if err != nil {
			return err
		}
		for _, p := range answer.Pipelines {
			l.add(p, p.Pipeline, p.Instance, p.Before, sinceOf(&p), strings.Join(p.Inherits, " "), strings.Join(p.Fresh, " "))
			if f.wait && p.Since != nil {
				if err := a.passed(ctx, c, &p); err != nil {
					return err
				}
			}
		}
	}
	return a.print(l)
}

// sinceOf is when a version begins, for people.
func sinceOf(p *serve.AppliedPipeline) string {
	switch {
	case p.Since != nil:
		return time.Unix(0, int64(*p.Since)).UTC().Format(time.RFC3339)
	case p.Unchanged:
		return "runs already"
	}
	return ""
}

// applyTo is the server of --server, or that of the configuration.
func (a *app) applyTo() (*client, error) {
	if a.server == "" {
		c, err := a.load()
		if err != nil {
			return nil, err
		}
		a.server = "http://" + c.HTTP.Listen
	}
	return a.dial()
}

// mayApply finds the mistakes of the files, and runs their cases, before anything is applied.
func (a *app) mayApply(ctx context.Context, files []string, f *applyFlags) error {
	if _, _, err := a.specs(files); err != nil || f.untested {
		return err
	}
	quiet := *a
	quiet.out = a.errs
	return quiet.testPipelines(ctx, files)
}

// applyFile sends one file. The version that runs may have begun a moment ago: then it is tried again.
func (a *app) applyFile(ctx context.Context, c *client, file string, f *applyFlags) (*serve.ApplyAnswer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fail(exitUsage, fmt.Errorf("read pipeline file: %w", err))
	}
	body := serve.ApplyRequest{Text: string(text), File: file, By: f.by, DryRun: f.dryRun}
	for began := (clock.System{}).Now(); ; {
		var answer serve.ApplyAnswer
		err := c.post(ctx, "/pipelines/apply", body, &answer)
		p, told := errors.AsType[*answered](err)
		if !told || p.code != "not_ready" || (clock.System{}).Now().Sub(began) > applyPatience {
			return &answer, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-clock.System{}.After(time.Second):
		}
	}
}

// passed waits until the new version is complete through the cut.
func (a *app) passed(ctx context.Context, c *client, p *serve.AppliedPipeline) error {
	a.say(fmt.Sprintf("waiting until %s has passed %s", p.Instance, sinceOf(p)))
	for {
		var s serve.StatusAnswer
		if err := c.get(ctx, "/status", nil, &s); err != nil {
			return err
		}
		for _, one := range s.Pipelines {
			if one.Instance == p.Instance && one.CompleteThrough != nil && *one.CompleteThrough >= *p.Since {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-clock.System{}.After(time.Second):
		}
	}
}
