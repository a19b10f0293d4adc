package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

// program is how a process is started.
type program struct {
	args []string
	env  []string // in addition to ours
}

// group is the processes of an engine at work. It is used from one goroutine.
type group struct {
	cmds  []*exec.Cmd
	ended []<-chan error // one for each; the result of Wait
	errs  []error        // of those that have ended
	live  int
	log   string
	past  float64 // CPU seconds of those that were killed
	kills int
}

// launch starts programs that die with this process. What they say goes to one file.
func launch(dir, log string, programs ...program) (*group, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the processes have their own
	g := &group{log: log}
	for _, p := range programs {
		cmd := exec.Command(p.args[0], p.args[1:]...) //nolint:noctx // it is asked to end in an orderly way
		cmd.Dir, cmd.Env = dir, append(os.Environ(), p.env...)
		cmd.Stdout, cmd.Stderr = file, file
		ended, err := testservers.Supervise(cmd)
		if err != nil {
			return nil, errors.Join(err, g.stop(syscall.SIGKILL))
		}
		g.cmds, g.ended, g.live = append(g.cmds, cmd), append(g.ended, ended), g.live+1
	}
	return g, nil
}

func (g *group) pids() (all []int) {
	for _, c := range g.cmds {
		all = append(all, c.Process.Pid)
	}
	return all
}

// poll notes which processes have ended. It answers whether all have, and the error of one that has failed.
func (g *group) poll() (all bool, err error) {
	for i, ended := range g.ended {
		if ended == nil {
			continue
		}
		select {
		case err := <-ended:
			g.note(i, err)
		default:
		}
	}
	return g.live == 0, errors.Join(g.errs...)
}

func (g *group) note(i int, err error) {
	g.ended[i] = nil
	g.live--
	if err != nil {
		text, _ := os.ReadFile(g.log) // what is missing is not quoted
		g.errs = append(g.errs, fmt.Errorf("%s: %w\n%s", g.cmds[i].Path, err, lastLines(string(text), 15)))
	}
}

// stop sends the signal to those that are left, and waits for their end. How they end is of no interest then.
func (g *group) stop(sig syscall.Signal) error {
	for i, c := range g.cmds {
		if g.ended[i] != nil {
			_ = c.Process.Signal(sig) // it may be gone
		}
	}
	late := time.After(90 * time.Second)
	for i := range g.ended {
		if g.ended[i] == nil {
			continue
		}
		select {
		case err := <-g.ended[i]:
			_ = err // it was told to
		case <-late:
			for _, c := range g.cmds {
				_ = c.Process.Kill()
			}
			return fmt.Errorf("%s did not end within 90 s of %s and was killed", g.cmds[i].Path, sig)
		}
		g.ended[i] = nil
		g.live--
	}
	return nil
}

// again kills all of them, and puts those in their place that start makes.
func (g *group) again(start func() (*group, error)) error {
	if err := g.stop(syscall.SIGKILL); err != nil {
		return err
	}
	next, err := start()
	if err != nil {
		return err
	}
	next.past, next.kills = g.cpu(), g.kills+1
	*g = *next
	return nil
}

// cpu is the CPU time of all of them, after their end, and of those that were killed before.
func (g *group) cpu() (seconds float64) {
	seconds = g.past
	for _, c := range g.cmds {
		if c.ProcessState != nil {
			seconds += (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
		}
	}
	return seconds
}

// cpuNow is the same while they run.
func (g *group) cpuNow() (seconds float64) {
	for _, pid := range g.pids() {
		_, own, _, err := parseStat(proc(pid, "stat"))
		if err == nil {
			seconds += own
		}
	}
	return seconds
}

// wait is ctx's error, or that of a process that has ended too early.
func (g *group) wait(ctx context.Context, d time.Duration) error {
	if err := bed.Sleep(ctx, d); err != nil {
		return err
	}
	if all, err := g.poll(); all || err != nil {
		return fmt.Errorf("the engine has ended too early: %w", errors.Join(err, errors.New("see "+g.log)))
	}
	return nil
}
