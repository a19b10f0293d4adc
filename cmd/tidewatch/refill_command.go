package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/sinks/redis"
)

// refillFlags are those of the command.
type refillFlags struct {
	pipelines []string
	dryRun    bool
	wait      time.Duration
}

func (a *app) refillCommand() *cobra.Command {
	var f refillFlags
	c := &cobra.Command{
		Use: "refill", Short: "Let the workers write everything into Redis again", Args: cobra.NoArgs,
		Long: "Lets the workers write the rollups of all pipelines, or of some, into Redis again: open windows from their state, final\n" +
			"ones from the archive. A Redis that was emptied is filled by itself; this is for one that has lost a part, or was restored\n" +
			"from an old copy. What is written has versions, so nothing that is newer is overwritten. Until it is done readers are told\n" +
			"that nothing is complete, and the workers are not ready. Waits and shows how far it is; the exit status is 6 if parts are\n" +
			"missing after --wait, and 3 if Redis knows of none: then it is empty, and is being filled.",
		Example: "  tidewatch refill --dry-run\n  tidewatch refill --pipeline host-cpu --wait 10m",
		RunE:    func(c *cobra.Command, _ []string) error { return a.refill(c.Context(), f) },
	}
	c.Flags().StringArrayVar(&f.pipelines, "pipeline", nil, "only this pipeline; may be repeated")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would be written again, and change nothing")
	c.Flags().DurationVar(&f.wait, "wait", 10*time.Minute, "how long to wait for the workers; 0 returns at once")
	return c
}

func (a *app) refill(ctx context.Context, f refillFlags) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if f.wait < 0 {
		return fail(exitUsage, fmt.Errorf("--wait %v: use a duration such as 10m, or 0", f.wait))
	}
	client, err := a.openRollups()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	all, err := client.Notings(ctx)
	if err != nil {
		return fail(exitDependency, err)
	}
	outputs, err := client.Outputs(ctx)
	if err != nil {
		return fail(exitDependency, err)
	}
	parts, err := partsOf(ofNewest(all, outputs), f.pipelines)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.print(refillList(parts))
	}
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.Part
	}
	if err := client.Forget(ctx, names); err != nil {
		return fail(exitDependency, err)
	}
	if f.wait > 0 {
		err = a.awaitRefill(ctx, client, names, f.wait)
	}
	if err != nil {
		return err
	}
	if parts, err = client.Notings(ctx); err != nil {
		return fail(exitDependency, err)
	}
	return a.print(refillList(slices.DeleteFunc(parts, func(n redis.Noting) bool { return !slices.Contains(names, n.Part) })))
}

// ofNewest are the parts of the versions that run: nobody would write those of ended ones, but as parts of what follows them.
func ofNewest(all []redis.Noting, outputs []redis.Output) []redis.Noting {
	runs := map[string]bool{}
	for i := range outputs {
		runs[outputs[i].Instance] = true
	}
	return slices.DeleteFunc(all, func(n redis.Noting) bool {
		instance, _, _ := strings.Cut(n.Part, "/")
		return !runs[instance]
	})
}

// partsOf are the parts of the pipelines, or all.
func partsOf(all []redis.Noting, pipelines []string) (parts []redis.Noting, err error) {
	known := map[string]bool{}
	for _, n := range all {
		pipeline := pipelineOfPart(n.Part)
		known[pipeline] = true
		if len(pipelines) == 0 || slices.Contains(pipelines, pipeline) {
			parts = append(parts, n)
		}
	}
	for _, p := range pipelines {
		if !known[p] {
			return nil, fail(exitNotFound, fmt.Errorf("Redis knows of no pipeline %q: there are %s", p, listOr(sortedKeys(known), "none"))) //nolint:staticcheck // a name
		}
	}
	if len(parts) == 0 {
		return nil, fail(exitNotFound, errors.New("Redis knows of nothing: it is empty, or no worker has run; workers fill it by themselves")) //nolint:staticcheck // a name
	}
	return parts, nil
}

// pipelineOfPart is PIPELINE of PIPELINE@VERSION/STAGE/TOPIC.ID/PARTITION OUTPUT.
func pipelineOfPart(part string) string {
	instance, _, _ := strings.Cut(part, "/")
	if i := strings.LastIndexByte(instance, '@'); i >= 0 {
		return instance[:i]
	}
	return instance
}

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

// refillRow is a part on standard output.
type refillRow struct {
	Part     string `json:"part"`
	Pipeline string `json:"pipeline"`
	Complete string `json:"complete_since"` // "" while it is being written
}

func refillList(parts []redis.Noting) *listing {
	l := &listing{columns: []string{"part", "pipeline", "complete_since"}}
	for _, p := range parts {
		row := refillRow{p.Part, pipelineOfPart(p.Part), p.Since}
		l.add(row, row.Part, row.Pipeline, row.Complete)
	}
	return l
}

// refillEvery is the distance of looks how far the workers are.
const refillEvery = time.Second

// awaitRefill waits until all parts are noted again, and tells how far that is.
func (a *app) awaitRefill(ctx context.Context, client *redis.Client, parts []string, limit time.Duration) error {
	deadline, told := clock.System{}.Now().Add(limit), -1
	for {
		missing, err := client.Unfilled(ctx, parts)
		switch {
		case err != nil && ctx.Err() == nil:
			return fail(exitDependency, err)
		case err == nil && len(missing) == 0:
			return nil
		case err == nil && !a.quiet && len(missing) != told:
			told = len(missing)
			fmt.Fprintf(a.errs, "%d of %d parts are in Redis\n", len(parts)-told, len(parts))
		}
		if !(clock.System{}).Now().Before(deadline) {
			return fail(exitPartial, fmt.Errorf("after %s %d of %d parts are missing, for example %s; does a worker run its task? See `tidewatch top`",
				limit, len(missing), len(parts), missing[0]))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-clock.System{}.After(refillEvery):
		}
	}
}
