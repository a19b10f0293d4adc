package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/tidewatch/tidewatch/alerts"
	"github.com/tidewatch/tidewatch/stream"
	"github.com/tidewatch/tidewatch/stream/streamtest"
)

func TestStoreContract(t *testing.T) {
	streamtest.RunStore(t, func(t testing.TB) (stream.ClaimStore, func() []string) {
		t.Helper()
		db := open(t, database(t))
		inserted := func() (ids []string) {
			rows, err := query(context.Background(), db.statement("list transitions", `SELECT body::text FROM tidewatch_transitions ORDER BY id`), scanTransition)
			if err != nil {
				t.Fatal(err)
			}
			for _, tr := range rows {
				ids = append(ids, tr.ID)
			}
			return ids
		}
		return db.Claims(), inserted
	}, func(n int) stream.Decision {
		return change{rule: fmt.Sprint("R", n), host: "h", from: alerts.Inactive, to: alerts.Firing}.decision(t)
	})
}
