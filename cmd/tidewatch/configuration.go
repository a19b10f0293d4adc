package main

import (
	"log/slog"
	"os"

	"github.com/tidewatch/tidewatch/internal/config"
	"github.com/tidewatch/tidewatch/internal/obs"
)

// configName is the file of -c, else ./tidewatch.yaml, else the one that tidewatch up has written into its usual folder, else
// none.
func (a *app) configName() string {
	name := a.config
	for _, usual := range []string{"tidewatch.yaml", "tidewatch-data/tidewatch.yaml"} {
		if _, err := os.Stat(usual); name == "" && err == nil {
			name = usual
		}
	}
	return name
}

// load reads the configuration: file, environment, --set.
func (a *app) load() (config.Config, error) {
	c, err := config.Load(a.configName(), os.Environ(), a.settings...)
	return c, fail(exitUsage, err)
}

// log writes to standard error; the level is what the command shows without --verbose, which adds debug lines.
func (a *app) log(level slog.Level) *slog.Logger {
	if a.verbose {
		level = slog.LevelDebug
	}
	return obs.Logger(a.errs, level)
}

// brokers are those of the configuration; commands that need nothing else of it do not mind if the rest is incomplete.
func (a *app) brokers() []string {
	c, _ := a.load()
	return c.Kafka.Brokers
}
