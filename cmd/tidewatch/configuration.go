package main

import (
	"os"

	"github.com/tidewatch/tidewatch/internal/config"
)

// load reads the configuration: the file of -c, else ./tidewatch.yaml if there is one, else defaults and environment.
func (a *app) load() (config.Config, error) {
	name := a.config
	if name == "" {
		if _, err := os.Stat("tidewatch.yaml"); err == nil {
			name = "tidewatch.yaml"
		}
	}
	c, err := config.Load(name, os.Environ())
	return c, fail(exitUsage, err)
}

// brokers are those of the configuration; commands that need nothing else of it do not mind if the rest is incomplete.
func (a *app) brokers() []string {
	c, _ := a.load()
	return c.Kafka.Brokers
}
