package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ticks is the unit of CPU times in /proc on Linux.
const ticks = 100

// usage is what processes have used since they started.
type usage struct {
	cpu     float64 // seconds, user and system
	written int64   // bytes that they gave to files
}

func (u usage) minus(v usage) usage { return usage{u.cpu - v.cpu, u.written - v.written} }

// parseStat reads the parent and the CPU time, with that of ended children, from /proc/PID/stat. The second field is a name in
// parentheses that may hold anything.
func parseStat(text []byte) (parent int, own, all float64, err error) {
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 15 {
		return 0, 0, 0, fmt.Errorf("read the state of a process: %q", text)
	}
	var n [4]float64
	for i := range n {
		if n[i], err = strconv.ParseFloat(fields[11+i], 64); err != nil {
			return 0, 0, 0, err
		}
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, (n[0] + n[1]) / ticks, (n[0] + n[1] + n[2] + n[3]) / ticks, err
}

// parseField reads a number behind a name, as in /proc/PID/status and /proc/PID/io; 0 if it is not there.
func parseField(text []byte, name string) int64 {
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
			return n
		}
	}
	return 0
}

func proc(pid int, file string) []byte {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file)) // gone: it counts no more
	return text
}

// usageOf adds up processes and all that they have started.
func usageOf(roots []int) (sum usage) {
	parents, cpu := map[int]int{}, map[int]float64{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if parent, _, all, err := parseStat(text); err == nil {
			parents[pid], cpu[pid] = parent, all
		}
	}
	for pid := range parents {
		for at, ok := pid, true; ok && at > 1; at, ok = parents[at], parents[at] != 0 {
			if slices.Contains(roots, at) {
				sum.cpu += cpu[pid]
				sum.written += parseField(proc(pid, "io"), "write_bytes")
				break
			}
		}
	}
	return sum
}

// meter watches the processes of an engine while they run.
type meter struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		lives         [][]int // processes; after the first those that took the place of killed ones
		peak, written map[int]int64
	}
}

func watch(pids []int) *meter {
	m := &meter{stop: make(chan struct{})}
	m.mu.lives = [][]int{pids}
	m.mu.peak, m.mu.written = map[int]int64{}, map[int]int64{}
	m.wg.Go(func() {
		for {
			m.look()
			select {
			case <-m.stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	return m
}

func (m *meter) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pid := range m.mu.lives[len(m.mu.lives)-1] {
		m.mu.peak[pid] = max(m.mu.peak[pid], parseField(proc(pid, "status"), "VmHWM"))
		m.mu.written[pid] = max(m.mu.written[pid], parseField(proc(pid, "io"), "write_bytes"))
	}
}

// again watches other processes, in place of those that were killed.
func (m *meter) again(pids []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.lives = append(m.mu.lives, pids)
}

// end answers the highest resident memory of each process, added up, and what they have written, in megabytes. Of several lives
// the largest memory counts, and all that was written.
func (m *meter) end() (peak, written float64) {
	close(m.stop)
	m.wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, life := range m.mu.lives {
		sum := 0.0
		for _, pid := range life {
			sum += float64(m.mu.peak[pid]) / 1024
			written += float64(m.mu.written[pid]) / (1 << 20)
		}
		peak = max(peak, sum)
	}
	return peak, written
}
