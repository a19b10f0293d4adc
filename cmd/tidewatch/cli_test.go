package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

func TestMain(m *testing.M) {
	testscript.Main(testservers.Keep(m), map[string]func(){"tidewatch": main})
}

// TestCommands runs the scripts: what a person types, and what comes out.
func TestCommands(t *testing.T) {
	fake, brokers := fakeServer(t), fakeKafka(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("NO_COLOR", "1")
			e.Setenv("FAKE", fake)
			e.Setenv("BROKERS", brokers)
			return nil
		},
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"records": recordsCommand},
		UpdateScripts: os.Getenv("TIDEWATCH_UPDATE_SCRIPTS") == "1",
	})
}
