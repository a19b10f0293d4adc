package drain

import (
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// TestCounterInherits counts with the kernel's clock, which every machine has, what a child and its child do.
func TestCounterInherits(t *testing.T) {
	taskClock := event{kind: 1, config: 1} // nanoseconds
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := taskClock.open()
	if err != nil {
		t.Skipf("this system does not let us count: %v", err)
	}
	defer c.close()
	for began := time.Now(); time.Since(began) < 20*time.Millisecond; { // our own work is not counted
	}
	if n, err := c.read(); err == nil {
		t.Errorf("counted %v before anything was started", n)
	}
	const loop = `i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "sh -c '"+loop+"'; "+loop)
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	got, err := c.read()
	if err != nil {
		t.Fatal(err)
	}
	want := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if seconds := got / 1e9; seconds < 0.8*want-0.02 || seconds > 1.5*want+0.02 {
		t.Errorf("counted %.3f s of the child, which took %.3f s", seconds, want)
	}
}
