package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// settled is when memory must have stopped growing.
	settled = 10
	// growth is the most by which it may be larger in the end.
	growth = 1.10
	// keptMB is what the broker keeps of a partition, by the default of tidewatch up, and the file that is being written.
	keptMB = 8 + 1
	// storesMB is the most that PostgreSQL and the snapshots may take.
	storesMB = 512
	// ticks are the units of CPU time that Linux counts in, in a second.
	ticks = 100
)

// hourReport is the line that show-up-hour prints. The folder is everything but the archive, which grows until somebody
// deletes it.
type hourReport struct {
	Minutes       int     `json:"minutes"`
	RSSAt10       float64 `json:"rss_mb_at_10"`
	RSSAtEnd      float64 `json:"rss_mb_at_60"`
	FolderAt10    float64 `json:"folder_mb_at_10"`
	FolderAtEnd   float64 `json:"folder_mb_at_60"`
	FolderBound   float64 `json:"folder_bound_mb"`
	ArchiveAt10   float64 `json:"archive_mb_at_10"`
	ArchiveAtEnd  float64 `json:"archive_mb_at_60"`
	CPUShare      float64 `json:"cpu_share"` // of one core, after minute 10, PostgreSQL included
	CPUShareOwn   float64 `json:"cpu_share_own"`
	FilesAtEnd    int     `json:"files_at_60"`
	PostgresAtEnd float64 `json:"postgres_mb_at_60"` // its part of the folder
}

// upSample is how a running up stands.
type upSample struct {
	rss, folder, archive, postgres float64 // MB
	files, partitions              int
	own, all                       float64 // CPU seconds
	at                             time.Time
}

// upHour lets tidewatch up run with its demo, and says whether it stays small.
func upHour(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("uphour", flag.ContinueOnError)
	binary := f.String("binary", "bin/tidewatch", "the product")
	minutes := f.Int("minutes", 60, "how long; memory is judged from minute 10 on")
	keep := f.String("dir", "", "folder for files and logs; default a temporary one, removed when all is well")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *minutes <= settled {
		return fmt.Errorf("%d minutes are too few: memory is judged from minute %d on", *minutes, settled)
	}
	dir, done, err := workFolder(*keep, "show-up-hour")
	if err != nil {
		return err
	}
	u, err := newUpRun(ctx, *binary, dir)
	if err != nil {
		return err
	}
	samples, err := u.watch(ctx, *minutes)
	u.stop(syscall.SIGTERM)
	if err != nil {
		return done(err)
	}
	r := hourOf(samples, *minutes)
	err = printReport(r, true)
	switch {
	case r.RSSAtEnd > growth*r.RSSAt10:
		err = errors.Join(err, fmt.Errorf("memory grew from %.0f to %.0f MB after minute %d", r.RSSAt10, r.RSSAtEnd, settled))
	case r.FolderAtEnd > r.FolderBound:
		err = errors.Join(err, fmt.Errorf("the folder takes %.0f MB beside the archive, more than %.0f", r.FolderAtEnd, r.FolderBound))
	}
	return done(err)
}

// watch looks every half a minute.
func (u *upRun) watch(ctx context.Context, minutes int) (samples []upSample, err error) {
	if err := u.start(ctx, ""); err != nil {
		return nil, err
	}
	began := time.Now()
	for i := 1; i <= 2*minutes; i++ {
		if !sleepUntil(ctx, began.Add(time.Duration(i)*30*time.Second)) {
			return nil, ctx.Err()
		}
		s, err := u.sample()
		if err != nil {
			return nil, fmt.Errorf("look at tidewatch up after %d half minutes: %w", i, err)
		}
		samples = append(samples, s)
		progress("rss %.0f MB, folder %.0f MB, archive %.0f MB, %d files, CPU %.1f s, with PostgreSQL %.1f s", s.rss, s.folder, s.archive, s.files, s.own, s.all)
	}
	return samples, nil
}

// hourOf compares minute 10 with the end. Memory is the mean of two minutes: garbage collection moves it.
func hourOf(samples []upSample, minutes int) *hourReport {
	mean := func(minute int) (mb float64) {
		const n = 4
		for _, s := range samples[2*minute-n : 2*minute] {
			mb += s.rss / n
		}
		return math.Round(mb*10) / 10
	}
	from, to := samples[2*settled-1], samples[2*minutes-1]
	wall := to.at.Sub(from.at).Seconds()
	round := func(x float64) float64 { return math.Round(x*1000) / 1000 }
	return &hourReport{
		Minutes: minutes, RSSAt10: mean(settled), RSSAtEnd: mean(minutes), FolderAt10: round(from.folder), FolderAtEnd: round(to.folder),
		FolderBound: float64(to.partitions*keptMB + storesMB), ArchiveAt10: round(from.archive), ArchiveAtEnd: round(to.archive),
		CPUShare: round((to.all - from.all) / wall), CPUShareOwn: round((to.own - from.own) / wall), FilesAtEnd: to.files,
		PostgresAtEnd: round(to.postgres),
	}
}

func (u *upRun) sample() (s upSample, err error) {
	s.at = time.Now()
	if s.rss, err = residentMB(u.cmd.Process.Pid); err != nil {
		return s, err
	}
	if s.own, s.all, err = cpuOf(u.cmd.Process.Pid); err != nil {
		return s, err
	}
	return s, s.measure(u.data)
}

// measure adds up what the files take on the disk. Files come and go meanwhile.
func (s *upSample) measure(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it has just been removed
		}
		rel, _ := filepath.Rel(dir, path)
		if d.IsDir() && filepath.Dir(rel) == filepath.Join("kafka", "partitions") {
			s.partitions++
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // the same
		}
		const mb, block = 1 << 20, 512
		size := float64(info.Sys().(*syscall.Stat_t).Blocks*block) / mb
		switch parts := strings.Split(rel, string(filepath.Separator)); {
		case parts[0] == "objects" && len(parts) > 1 && parts[1] != "state":
			s.archive += size
		case parts[0] == "postgres":
			s.postgres += size
			s.folder += size
		default:
			s.folder += size
		}
		if !d.IsDir() {
			s.files++
		}
		return nil
	})
}

func residentMB(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1024, err
}

// cpuOf is the CPU time of a process, and with that of all processes below it.
func cpuOf(pid int) (own, all float64, err error) {
	own, _, err = cpuTimes(strconv.Itoa(pid))
	if err != nil {
		return 0, 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0, err
	}
	parent, times := map[string]string{}, map[string]float64{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if t, p, err := cpuTimes(e.Name()); err == nil {
			parent[e.Name()], times[e.Name()] = p, t
		}
	}
	for p, t := range times {
		for at, ok := p, true; ok; at, ok = parent[at] {
			if at == strconv.Itoa(pid) {
				all += t
				break
			}
		}
	}
	return own, all, nil
}

// cpuTimes reads the time that a process has used, with that of its children that have ended, and its parent.
func cpuTimes(pid string) (seconds float64, parent string, err error) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, "", err
	}
	const ppid, utime, cstime = 1, 11, 14
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), " ")
	fields := strings.Fields(rest)
	for _, f := range fields[utime : cstime+1] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, "", err
		}
		seconds += n / ticks
	}
	return seconds, fields[ppid], nil
}
