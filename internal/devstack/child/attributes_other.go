//go:build !linux

package child

import "syscall"

// attributes does without a parent-death signal: whoever starts the program next has to look for an old one.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
