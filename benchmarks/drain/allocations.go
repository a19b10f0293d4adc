package drain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// errSilent says that the worker is older than what it is asked for.
var errSilent = errors.New("the worker does not tell its allocations")

// allocations is how many objects the worker makes on the heap for a record after warm-up: from a quarter of the records, by
// when several windows were closed, an empty Redis is filled and the buffers have their size, to about seven tenths. Nobody
// asks the worker anything meanwhile, and the two answers cost it a few dozen objects. nil: it does not tell, or was done
// before a tenth of the records lay between the answers. If a profile is wanted, it is that of this time.
func (j *Job) allocations(ctx context.Context, w *bed.Worker, records int64, began time.Time) (*float64, error) {
	topic := j.Load.Topic
	objects, fetched, err := warmUp(ctx, w, topic, records/4)
	switch {
	case errors.Is(err, errSilent):
		return nil, nil
	case err != nil:
		return nil, err
	}
	while := time.Duration(0.45 * float64(time.Since(began)) * float64(records) / float64(fetched))
	if j.Profile != "" {
		err = profiled(ctx, w, while, j.Profile)
	} else {
		err = bed.Sleep(ctx, while)
	}
	if err != nil {
		return nil, err
	}
	objectsThen, fetchedThen, err := allocated(ctx, w, topic)
	if err != nil {
		return nil, err
	}
	if fetchedThen-fetched < records/10 {
		return nil, nil
	}
	each := float64(objectsThen-objects) / float64(fetchedThen-fetched)
	return &each, nil
}

// warmUp waits until so many records are read.
func warmUp(ctx context.Context, w *bed.Worker, topic string, records int64) (objects, fetched int64, err error) {
	for deadline := time.Now().Add(limit); ; {
		objects, fetched, err = allocated(ctx, w, topic)
		switch {
		case err == nil && fetched >= max(records, 1), errors.Is(err, errSilent):
			return objects, fetched, err
		case time.Now().After(deadline):
			return 0, 0, errors.Join(fmt.Errorf("the worker read %d of the first %d events within %s", fetched, records, limit), err)
		}
		if err := bed.Sleep(ctx, 50*time.Millisecond); err != nil {
			return 0, 0, err
		}
	}
}

// profiled writes what the worker's CPU does for whole seconds, one at least.
func profiled(ctx context.Context, w *bed.Worker, d time.Duration, file string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", w.Admin, max(1, int(d.Seconds())))
	text, err := bed.Get(ctx, url)
	if err != nil {
		return fmt.Errorf("profile the worker: %w", err)
	}
	return os.WriteFile(file, text, 0o600)
}

// allocated asks the worker for the objects that it has allocated and the records of the topic that it has read.
func allocated(ctx context.Context, w *bed.Worker, topic string) (objects, fetched int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.Admin+"/debug/allocations", nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return 0, 0, errSilent
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		for name, into := range map[string]*int64{"objects": &objects, "fetched " + topic: &fetched} {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				if *into, err = strconv.ParseInt(value, 10, 64); err != nil {
					return 0, 0, fmt.Errorf("read %s: %q: %w", req.URL, line, err)
				}
			}
		}
	}
	return objects, fetched, nil
}
