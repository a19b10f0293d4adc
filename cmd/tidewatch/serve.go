package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) serveCommand() *cobra.Command {
	var roles []string
	var id string
	c := &cobra.Command{
		Use: "serve", Short: "Run a worker of a cluster, and the API", Args: cobra.NoArgs,
		Long: "Runs the configured pipelines on the partitions that the consumer group assigns to this worker, and serves the API.\n" +
			"SIGTERM drains: every task takes a last snapshot, so that the next owner has nothing to replay.",
		Example: "  tidewatch serve -c tidewatch.yaml --worker-id worker-1",
		RunE:    func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), id, roles) },
	}
	c.Flags().StringVar(&id, "worker-id", hostname(), "name of this worker: another for each, the same after a restart")
	c.Flags().StringSliceVar(&roles, "role", []string{"worker", "api"}, "what this process does: worker, api")
	return c
}

func (a *app) serve(ctx context.Context, id string, roles []string) (err error) {
	for _, r := range roles {
		if !slices.Contains([]string{"worker", "api"}, r) {
			return fail(exitUsage, fmt.Errorf("--role %s: there are worker and api", r))
		}
	}
	if strings.TrimSpace(id) == "" {
		return fail(exitUsage, errors.New("--worker-id is empty"))
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	w := &worker{config: c, id: id, roles: roles, log: a.log(slog.LevelInfo)}
	limitMemory(w.log)
	if err := w.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	return w.run(ctx)
}
