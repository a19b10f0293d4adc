package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestReferenceListsCommands demands that the reference has every command that does something, and every exit code.
func TestReferenceListsCommands(t *testing.T) {
	data, err := os.ReadFile("../../docs/reference/README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, c := range everyCommand(newRoot()) {
		if !c.HasSubCommands() && !c.Hidden && !strings.Contains(text, "`"+c.CommandPath()+"`") {
			t.Errorf("docs/reference/README.md does not list `%s`", c.CommandPath())
		}
	}
	for _, code := range []int{
		exitOK, exitFailed, exitUsage, exitNotFound, exitDenied, exitConflict, exitPartial, exitDependency, exitCheck, exitInterrupted,
	} {
		if !strings.Contains(text, "\n| "+strconv.Itoa(code)+" | ") {
			t.Errorf("docs/reference/README.md does not explain the exit code %d", code)
		}
	}
}
