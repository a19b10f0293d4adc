package testservers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

func dieWithParent(cmd *exec.Cmd, sig syscall.Signal) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = sig
	cmd.SysProcAttr.Setpgid = true // an interrupt from the terminal reaches the test first
}

// descendants lists the processes that pid started, and theirs, from /proc.
func descendants(pid int) []int {
	parents := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if parent, _ := readStat(path); parent > 0 {
			parents[parent] = append(parents[parent], child)
		}
	}
	found := parents[pid]
	for i := 0; i < len(found); i++ {
		found = append(found, parents[found[i]]...)
	}
	return found
}

// runs reports whether the process is there and not just waiting to be collected by its parent.
func runs(pid int) bool {
	parent, state := readStat(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return parent > 0 && state != "Z" && state != "X"
}

// moves reports whether a thread of the process is neither gone nor stopped.
func moves(pid int) bool {
	threads, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/stat")) // the pattern is well-formed
	return slices.ContainsFunc(threads, func(path string) bool {
		parent, state := readStat(path)
		return parent > 0 && !slices.Contains([]string{"Z", "X", "T", "t"}, state)
	})
}

// readStat reads the parent and the state of a process: the fourth and third field of its stat file. The second is a name
// in parentheses that may hold anything. The parent is 0 if the process is gone.
func readStat(path string) (parent int, state string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, ""
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, ""
	}
	parent, err = strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0, ""
	}
	return parent, string(fields[0])
}
