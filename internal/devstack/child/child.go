package child

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	Path    string
	Args    []string // without the name of the program
	Env     []string // all of it: nothing is inherited
	Dir     string
	Files   []*os.File // become the descriptors 3, 4, … of the program
	Account *Account   // nil: ours
	// OnParentDeath is what the kernel sends to the program when this process is gone. Only Linux does.
	OnParentDeath syscall.Signal
	// Line is called with each line of standard output and error, from one goroutine, never after Done. It may be nil.
	Line func(string)
}

// grace is how long output is awaited of a program that has ended: what it started may still hold the other end.
const grace = 2 * time.Second

// Child is a program that runs or has run. All methods may be called from any goroutine.
type Child struct {
	cmd    *exec.Cmd
	output *output
	done   chan struct{}
	err    error // of Wait; read after done
}

// Start runs the program in a process group of its own, so that an interrupt from the terminal reaches us first. The kernel
// sends the signal OnParentDeath when the *thread* that started the child ends, so one goroutine keeps its thread until the
// program is gone.
func Start(s Spec) (*Child, error) {
	cmd := exec.Command(s.Path, s.Args...) //nolint:noctx // it lives until it is told to stop
	c := &Child{cmd: cmd, output: &output{line: s.Line}, done: make(chan struct{})}
	cmd.Env, cmd.Dir, cmd.ExtraFiles, cmd.WaitDelay = s.Env, s.Dir, s.Files, grace
	cmd.Stdout, cmd.Stderr = c.output, c.output
	cmd.SysProcAttr = attributes(s.OnParentDeath)
	if s.Account != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.Account.UID, Gid: s.Account.GID}
	}
	started := make(chan error)
	go c.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Path, err)
	}
	return c, nil
}

func (c *Child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.done)
	err := c.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	c.err = c.cmd.Wait()
	c.output.finish()
}

// PID is the number of the process.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when the program has ended and its output was read.
func (c *Child) Done() <-chan struct{} { return c.done }

// Err says how the program ended; nil is exit code 0. It is valid after Done.
func (c *Child) Err() error { return c.err }

// Signal sends to the program. One that has ended is no error.
func (c *Child) Signal(sig syscall.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s: %w", sig, c.cmd.Path, err)
	}
	return nil
}

// Tail is the last lines of the program's output.
func (c *Child) Tail() string { return c.output.tail() }

// Run runs the program to its end and answers its output. One that fails is an error with the last lines in it. When ctx
// ends the program is told to end.
func Run(ctx context.Context, s Spec) (string, error) {
	var all strings.Builder
	s.Line = func(line string) { all.WriteString(line + "\n") }
	c, err := Start(s)
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Signal(syscall.SIGTERM) }) // a program that is gone is none to stop
	defer stop()
	<-c.Done()
	if err := cmp.Or(ctx.Err(), c.Err()); err != nil {
		return "", fmt.Errorf("run %s: %w: %s", s.Path, err, c.Tail())
	}
	return all.String(), nil
}
