package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/internal/clock"
	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/internal/testservers"
	"github.com/tidewatch/tidewatch/sources/kafka"
	"github.com/tidewatch/tidewatch/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testservers.Keep(m)) }

// TestBalancerIsTheProducts lets a worker of the product join, and looks at what it offers.
func TestBalancerIsTheProducts(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, fleetTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	offered := make(chan []string, 1)
	broker.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		var names []string
		for _, p := range r.(*kmsg.JoinGroupRequest).Protocols {
			names = append(names, p.Name)
		}
		select {
		case offered <- names:
		default:
		}
		return nil, nil, false
	})
	c := kafka.Default()
	c.Client = kafkaclient.Config{Brokers: broker.ListenAddrs()}
	c.GroupID, c.WorkerID, c.Topics = "fleet", "worker-1", []string{fleetTopic}
	c.Clock, c.Log = clock.System{}, slog.New(slog.DiscardHandler)
	source, err := kafka.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	ended := make(chan error, 1)
	go func() { ended <- source.Assign(ctx, func(_, _ []stream.Partition) error { return nil }) }()
	select {
	case names := <-offered:
		if want := []string{balancer().ProtocolName()}; !slices.Equal(names, want) {
			t.Errorf("a worker offers %q, and this command runs %q", names, want)
		}
	case <-ctx.Done():
		t.Error("no worker has joined")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAssignments(t *testing.T) {
	all, err := assignments(&options{workers: 50, partitions: 500, runs: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []assignment{
		{Name: "all join", Rounds: 1, Moved: 500, Taken: 0, Least: 10, Most: 10},
		{Name: "one leaves", Rounds: 1, Moved: 10, Taken: 0, Least: 10, Most: 11},
		{Name: "one joins", Rounds: 2, Moved: 9, Taken: 9, Least: 9, Most: 10},
	} {
		got := all[i]
		if got.Wall <= 0 || got.MetadataBytes < 50*len(fleetTopic) || got.AssignmentBytes < 500*4 {
			t.Errorf("%s was measured as %+v", want.Name, got)
		}
		got.CPU, got.Wall, got.MetadataBytes, got.AssignmentBytes = 0, 0, 0, 0
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// TestEveryPartitionHasOneOwner holds a history of members that come and go to the promise of the group.
func TestEveryPartitionHasOneOwner(t *testing.T) {
	g := newGroup(7, 100)
	for i := range 12 {
		if _, err := g.rebalance(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, m := range g.members {
			n += len(m.owned)
		}
		if owners := g.owners(); len(owners) != 100 || n != 100 {
			t.Fatalf("round %d: %d partitions have %d owners", i, len(owners), n)
		}
		if i%3 == 2 {
			g.members = g.members[1:]
		} else {
			g.members = append(g.members, &member{name: workerName(100 + i)})
		}
	}
}

func TestMarks(t *testing.T) {
	o := &options{partitions: 100, rate: 50, share: 0.01, epochs: durations{time.Second, 10 * time.Second}, internal: numbers{4, 64}}
	all, err := marks(o)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || !all[0].Product || all[1].Product || all[1].Internal != 64 || all[1].Records != 64 {
		t.Fatalf("%+v", all)
	}
	for _, m := range all {
		want := float64(m.Internal*100) / 10
		if i := m.Intervals[1]; i.PerSecond != want || i.Internal != 10 || math.Abs(i.Share-want/(want+5000)) > 1e-12 {
			t.Errorf("%d internal partitions: %+v", m.Internal, i)
		}
		// At the interval that is named, the share is as wished.
		o.epochs = durations{time.Duration(m.Shortest * float64(time.Second))}
		again := markCost{Internal: m.Internal, Records: m.Records}
		if again.multiply(o); math.Abs(again.Intervals[0].Share-o.share) > 1e-6 {
			t.Errorf("%d internal partitions: a share of %v at an interval of %v s", m.Internal, again.Intervals[0].Share, m.Shortest)
		}
	}
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-epochs 0s": "no duration above 0", "-epochs 1": "no duration", "-internal 0": "no number above 0", "-internal 257": "at most",
		"-workers 1": "-workers", "-parts rows": "there are assignment,claims", "-packs 1000": "it takes 64000", "-price-read -1": "-price-read",
		"-connections -1": "-connections", "-workers 9 -connections 10": "at most as many", "-claim-for 1ms": "-claim-for", "-share 1": "-share", "metrics": "no flag",
	} {
		err := parse(t, strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", args, err, want)
		}
	}
	if err := parse(t, []string{"-epochs", "200ms, 1s", "-internal", "8", "-workers", "3"}); err != nil {
		t.Error(err)
	}
	f, _ := flags()
	var help bytes.Buffer
	f.SetOutput(&help)
	if err := f.Parse([]string{"-h"}); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "  fleet -workers 50") {
		t.Errorf("%v, and the help is %s", err, help.String())
	}
}

func parse(t *testing.T, args []string) error {
	t.Helper()
	f, o := flags()
	f.SetOutput(io.Discard)
	return o.parse(f, args)
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 12_800_000.4: "12,800,000"} {
		if got := thousands(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	if got := seconds(6.336); got != "6.336s" {
		t.Error(got)
	}
}

func TestPrint(t *testing.T) {
	r := report{
		Workers: 1000, Partitions: 10_000, Rate: 50, Machine: "m",
		Assignments: []assignment{{Name: "all join", Rounds: 1, Moved: 7, Least: 1, Most: 2, MetadataBytes: 1 << 20, AssignmentBytes: 1 << 10}},
		Claims: &claimReport{Rows: 5, Tasks: 10, Pack: 4, FleetConnections: [2]int{3, 24}, Rates: []packRate{
			{Pack: 1, Tasks: 1000, Needs: []claimNeed{{Epoch: 1, Tasks: 5000, Share: 5}}, Burst: 5},
			{Pack: 4, Tasks: 9000, Needs: []claimNeed{{Epoch: 1, Tasks: 5000, Share: 0.6}}, Burst: 0.6},
		}},
		Objects: &objectReport{Costs: []objectCost{{
			Kind: rawKind, Every: 300, life: life{Calls: map[op]float64{opPut: 1, opCopy: 1}}, Each: priced{Writes: 2}, PerSecond: priced{Writes: 4}, Month: 1234,
		}}, Price: prices{Write: 0.5}},
		Marks: []markCost{{Internal: 4, Product: true, Bytes: 29, Intervals: []markInterval{{Epoch: 1, PerSecond: 40_000, Internal: 10_000, Share: 0.05}}, Shortest: 6.336}},
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"1,000 workers, 10,000 partitions with 50 events a second each; measured on m", "all join 1 0.0 0.0 7 0 1 2 1024.0 1.0", "1025 KB at least, of 1024 KB",
		"1 1,000 0 0.00 0.00 0 NO, of 500 %", "4 (this fleet) 9,000", "yes, of 60 %", "its 10 tasks, run in the engine on this server, puts 4 of them",
		"bears epochs of 1s, and of 600ms at the least", "3 connections, 24 if", "raw part 0 copy 1.0, put 1.0 2.0 0.0 5m0s 2.0 4.0 0.0 1,234",
		"requests: 0.5 for PUT", "4 (ours) 29 40,000 10,000 5.00 % 6.336s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the tables lack %q:\n%s", want, out.String())
		}
	}
}
