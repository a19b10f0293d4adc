package main

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryFiles say how much memory this process may have, in a container or a unit of systemd: cgroups of version 2 and 1.
var memoryFiles = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// limitMemory lets the garbage collector work harder before the limit of the container is reached, where GOMEMLIMIT leaves that
// open: a process that is killed has more to read again than one that collects more often.
func limitMemory(log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit, ok := memoryLimit(os.ReadFile); ok {
		debug.SetMemoryLimit(limit)
		log.Info("memory is limited", "heap", limit, "of", "nine tenths of what the container may have; GOMEMLIMIT sets another")
	}
}

// memoryLimit is nine tenths of the limit that is set; the rest is for stacks, buffers of the system and peaks.
func memoryLimit(read func(string) ([]byte, error)) (limit int64, ok bool) {
	for _, name := range memoryFiles {
		raw, err := read(name)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		if err == nil && n > 0 && n < math.MaxInt64/2 { // "max", and the number that version 1 has for it
			return n / 10 * 9, true
		}
	}
	return 0, false
}
