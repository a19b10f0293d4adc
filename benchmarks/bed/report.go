package bed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Progress tells on standard error what is going on.
func Progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format("15:04:05"), strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// WorkFolder makes the folder of a run. done passes its error on, and removes a temporary folder if there is none.
func WorkFolder(keep, name string) (dir string, done func(error) error, err error) {
	if keep != "" {
		if keep, err = filepath.Abs(keep); err != nil {
			return "", nil, err
		}
		return keep, func(err error) error { return err }, os.MkdirAll(keep, 0o700)
	}
	dir, err = os.MkdirTemp("", name+"-")
	return dir, func(err error) error {
		if err != nil {
			return fmt.Errorf("%w; files and logs are in %s", err, dir)
		}
		return os.RemoveAll(dir)
	}, err
}

// Machine names the processor and how many there are.
func Machine() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	model, n := "unknown", 0
	for line := range strings.SplitSeq(string(data), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model, n = strings.TrimSpace(value), n+1
		}
	}
	return fmt.Sprintf("%d x %s", n, model)
}

// Peak is the highest resident memory of a process in megabytes, 0 where the system does not tell.
func Peak(pid int) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// Commit is the short name of a revision. "" is the working tree: its commit, with a + if files differ from it.
func Commit(ctx context.Context, revision string) (string, error) {
	args := []string{"describe", "--always", "--exclude=*", "--dirty=+"}
	if revision != "" {
		args = []string{"rev-parse", "--short", "--verify", "--end-of-options", revision + "^{commit}"}
	}
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("find commit %q: %s", revision, strings.TrimSpace(string(failed.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}

// Sleep waits, or says why it stopped to.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// AppendLine adds a value to a file, as a line of JSON.
func AppendLine(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s\n", text)
	return errors.Join(err, file.Close())
}

// DeleteTopics deletes topics that the product has made for pipelines, those that all workers share aside, and others that are chosen.
func DeleteTopics(ctx context.Context, client *kgo.Client, chosen func(topic string) bool) error {
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var own []string
	for _, t := range topics.Names() {
		if strings.HasPrefix(t, "tidewatch.") && t != "tidewatch.commands" && t != "tidewatch.dead-letters" || chosen(t) {
			own = append(own, t)
		}
	}
	if len(own) == 0 {
		return nil
	}
	if _, err := admin.DeleteTopics(ctx, own...); err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	return nil
}

// Quantile is the value below which the share q of sorted values lies, between two of them in proportion.
func Quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Summary is what is said of the values of several runs.
type Summary struct {
	Median, Min, Max float64
	Spread           float64 // between the quartiles
}

// Summarize takes at least one value.
func Summarize(values []float64) Summary {
	v := slices.Sorted(slices.Values(values))
	return Summary{Median: Quantile(v, 0.5), Min: v[0], Max: v[len(v)-1], Spread: Quantile(v, 0.75) - Quantile(v, 0.25)}
}
