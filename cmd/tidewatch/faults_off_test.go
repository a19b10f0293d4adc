//go:build !faults

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What is shipped must not contain the fault layer: a variable of the environment would kill workers.
func TestFaultsAreNotShipped(t *testing.T) {
	for tags, want := range map[string]bool{"": false, "faults": true} {
		out, err := exec.Command("go", "list", "-tags", tags, "-f", "{{join .GoFiles \" \"}}", ".").CombinedOutput()
		if err != nil {
			t.Fatalf("list files with the tags %q: %v: %s", tags, err, out)
		}
		if got := strings.Contains(string(out), "faults_wrap.go"); got != want {
			t.Errorf("with the tags %q the fault layer is built in: %t, want %t", tags, got, want)
		}
	}
}
