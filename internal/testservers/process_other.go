//go:build unix && !linux

package testservers

import (
	"os/exec"
	"syscall"
)

// dieWithParent: other systems have no parent-death signal. A killed test leaves its servers behind there.
func dieWithParent(cmd *exec.Cmd, _ syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

func descendants(int) []int { return nil }

func runs(pid int) bool { return syscall.Kill(pid, 0) == nil }

func moves(int) bool { return false } // cannot be told
