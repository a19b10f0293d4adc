package testservers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// process is one running program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended and was waited for
	err  error         // of Wait; read after done
}

// startProcess starts cmd so that it dies with this process. On Linux the kernel sends the parent-death signal when the
// *thread* that started the child ends, so one goroutine keeps its thread until the child is gone.
func startProcess(cmd *exec.Cmd, onParentDeath syscall.Signal) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	dieWithParent(cmd, onParentDeath)
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Supervise starts a program that is killed when this process ends, in whatever way (Linux); for tests that run our own
// binary. ended receives the result of Wait, once. The caller stops the program, or leaves it to the end of the process.
func Supervise(cmd *exec.Cmd) (ended <-chan error, err error) {
	p, err := startProcess(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	result := make(chan error, 1)
	go func() {
		<-p.done
		result <- p.err
	}()
	return result, nil
}

func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends to the program and to all that it started. Descendants that are gone by then are no error; a PostgreSQL
// backend ends whenever its client leaves.
func (p *process) signal(sig syscall.Signal) error {
	if p.ended() {
		return nil
	}
	children := descendants(p.pid())
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s: %w", sig, p.cmd.Path, err)
	}
	for _, pid := range children {
		_ = syscall.Kill(pid, sig)
	}
	if sig == syscall.SIGSTOP { // the threads of a busy process stop a moment after the signal was sent
		return waitNone(append(children, p.pid()), moves)
	}
	return nil
}

// kill ends the program and all that it started, and waits until none of them runs: PostgreSQL refuses to start again while
// a backend still holds its shared memory.
func (p *process) kill() error {
	if p.ended() {
		return nil
	}
	family := append(descendants(p.pid()), p.pid())
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return waitNone(family, runs)
}

// waitNone waits until the condition holds for none of the processes.
func waitNone(pids []int, holds func(pid int) bool) error {
	for deadline := time.After(10 * time.Second); slices.ContainsFunc(pids, holds); {
		select {
		case <-deadline:
			return errors.New("a process does not react to a signal within 10 s")
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// tail is the end of a log file for an error message.
func tail(path string) string {
	const most = 4 << 10
	f, err := os.Open(path)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return "(no log: " + err.Error() + ")"
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	return string(bytes.TrimSpace(text))
}
