package drain

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// worker answers what each look sees: the objects that it has made and the records that it has read.
func worker(t *testing.T, looks ...[2]int64) *bed.Worker {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		look := looks[min(n, len(looks)-1)]
		n++
		fmt.Fprintf(w, "objects %d\nfetched metrics %d\nfetched metrics-2 7\n", look[0], look[1])
	}))
	t.Cleanup(s.Close)
	return &bed.Worker{Admin: strings.TrimPrefix(s.URL, "http://")}
}

func job() *Job { return &Job{Load: Load{Topic: "metrics"}} }

func TestAllocations(t *testing.T) {
	// The first answer comes too early.
	got, err := job().allocations(t.Context(), worker(t, [2]int64{900, 0}, [2]int64{1000, 300}, [2]int64{1200, 700}), 1000, time.Now())
	if err != nil || got == nil || *got != 0.5 {
		t.Errorf("200 objects for 400 records: %v, %v", got, err)
	}
}

func TestAllocationsOfShortRun(t *testing.T) {
	got, err := job().allocations(t.Context(), worker(t, [2]int64{1000, 950}, [2]int64{5000, 1000}), 1000, time.Now())
	if err != nil || got != nil {
		t.Errorf("50 of 1000 records are too few to tell: %v, %v", got, err)
	}
}

func TestAllocationsOfOldWorker(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	w := &bed.Worker{Admin: strings.TrimPrefix(s.URL, "http://")}
	if _, _, err := allocated(t.Context(), w, "metrics"); !errors.Is(err, errSilent) {
		t.Errorf("want %v, got %v", errSilent, err)
	}
	if got, err := job().allocations(t.Context(), w, 1000, time.Now()); got != nil || err != nil {
		t.Errorf("a worker that does not tell is no failure: %v, %v", got, err)
	}
}
