package devstack

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

// victim is the variable that turns this test binary into a process that runs a stack on the folder in it, until it is
// killed. It acknowledges what has to survive on standard output.
const victim = "TIDEWATCH_DEVSTACK_VICTIM"

func TestEverythingSurvivesAKill(t *testing.T) {
	if dir := os.Getenv(victim); dir != "" {
		fall(t, dir)
	}
	t.Parallel()
	c := withPostgres(t, config(t))
	for round := range 2 { // the second begins on what the first left
		acknowledged := strike(t, c.Dir)
		if len(acknowledged) < 20 {
			t.Fatalf("only %v was acknowledged", acknowledged)
		}
		began := time.Now()
		s := start(t, c)
		t.Logf("round %d: ready %s after the kill", round, time.Since(began))
		have := consume(t, s, "events")
		for _, r := range have {
			delete(acknowledged, r)
		}
		if len(acknowledged) > 0 {
			t.Errorf("lost of Kafka's records: %v", acknowledged)
		}
		rows, err := strconv.Atoi(query(t, s.PostgresDSN(), "SELECT count(*)::text FROM kept"))
		if err != nil || rows < len(have) {
			t.Errorf("PostgreSQL has %d rows, %v, and Kafka %d records", rows, err, len(have))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// strike runs the victim, kills it in the middle of its work, and answers the records that it was promised would be kept.
func strike(t *testing.T, dir string) map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEverythingSurvivesAKill$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), victim+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	var other []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		record, found := strings.CutPrefix(lines.Text(), "KEPT ")
		if !found {
			other = append(other, lines.Text())
			continue
		}
		if acknowledged[record] = true; len(acknowledged) == 100 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(acknowledged) < 100 {
		t.Fatalf("the victim ended by itself: %v, %s", err, strings.Join(other, "\n"))
	}
	return acknowledged
}

// fall writes to everything for ever.
func fall(t *testing.T, dir string) {
	t.Helper()
	c := config(t)
	c.Dir, c.PostgresDSN = dir, ""
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s.broker.cluster.TopicInfo("events") == nil {
		createTopic(t, s, "events", 1, nil)
	}
	k := client(t, s, kgo.DefaultProduceTopic("events"))
	conn, err := pgx.Connect(t.Context(), s.PostgresDSN())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS kept (word text)"); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		value := fmt.Sprint(os.Getpid(), "-", i)
		// The row comes first: there is never a record without its row.
		if _, err := conn.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", value); err != nil {
			t.Fatal(err)
		}
		r, err := k.ProduceSync(t.Context(), &kgo.Record{Value: []byte(value)}).First()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("KEPT", r.Offset, value)
	}
}
