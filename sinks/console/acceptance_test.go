package console_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/tidewatch/tidewatch/sinks/console"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

// screen is what several processes have printed to.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// lines are the different ones: after a crash some are shown again.
func (s *screen) lines() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]string{}
	for line := range strings.Lines(s.b.String()) {
		seen[line] = line
	}
	return seen
}

func TestAcceptance(t *testing.T) {
	for name, phases := range map[string][]stream.Phase{
		"windows": {stream.Live, stream.Closed, stream.Revised, stream.Final}, "events": {stream.Late},
	} {
		t.Run(name, func(t *testing.T) {
			streamtest.RunSink(t, streamtest.SinkHarness{
				New: func(testing.TB) streamtest.SinkReceiver {
					s := &screen{}
					return streamtest.SinkReceiver{
						Open:    func(testing.TB, *streamtest.Life) stream.Sink { return console.New(s).NewSink("p", "o") },
						Visible: func(testing.TB) map[string]string { return s.lines() },
					}
				},
				History: func(t testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
					return streamtest.SinkSteps(streamtest.WindowSteps(t, rng, size, phases...))
				},
			})
		})
	}
}

// TestTableAcceptance compares the rows without the blanks that line columns up: widths grow with what was shown before.
func TestTableAcceptance(t *testing.T) {
	streamtest.RunSink(t, streamtest.SinkHarness{
		New: func(testing.TB) streamtest.SinkReceiver {
			s := &screen{}
			return streamtest.SinkReceiver{
				Open: func(testing.TB, *streamtest.Life) stream.Sink { return console.NewTable(s).NewSink("p", "o") },
				Visible: func(testing.TB) map[string]string {
					seen := map[string]string{}
					for line := range s.lines() {
						if words := strings.Fields(line); len(words) > 0 { // or it stands between two tables
							seen[fmt.Sprint(words)] = ""
						}
					}
					return seen
				},
			}
		},
		History: func(t testing.TB, rng *rand.Rand, size int) []streamtest.SinkStep {
			return streamtest.SinkSteps(streamtest.WindowSteps(t, rng, size, stream.Closed, stream.Final))
		},
	})
}
