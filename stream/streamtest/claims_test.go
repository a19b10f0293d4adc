package streamtest_test

import (
	"fmt"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

func TestFakeClaims(t *testing.T) {
	streamtest.RunStore(t, func(testing.TB) (stream.ClaimStore, func() []string) {
		w := streamtest.NewWorld()
		return streamtest.NewLife(w, nil).Claims(), func() (ids []string) {
			for _, d := range w.Decisions() {
				ids = append(ids, d.ID)
			}
			return ids
		}
	}, func(n int) stream.Decision {
		return stream.Decision{ID: fmt.Sprint(n), Body: fmt.Appendf(nil, "%d", n)}
	})
}
