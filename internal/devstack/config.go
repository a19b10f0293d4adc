package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"github.com/tidewatch/tidewatch/stream"
)

// Config says what to run and where.
type Config struct {
	Dir         string // data folder, created; empty if Ephemeral
	KafkaListen string // host:port; clients are told this host, so it cannot be 0.0.0.0
	Ephemeral   bool   // everything in a temporary folder that Close removes
	PostgresDSN string // of a server that runs already; empty: an own one
	TopicBytes  int64  // kept of each partition of topics that do not say; 0: no limit
	SyncWrites  bool   // the broker waits for the disk at each batch; see the package comment

	// KafkaUp is called when the broker answers, while PostgreSQL may still be starting, which takes longer. Its error ends the
	// start. It may be nil.
	KafkaUp func(ctx context.Context, brokers []string) error

	Clock    stream.Clock
	Log      *slog.Logger
	Progress func(text string) // called with what is happening, one call at a time; may be nil
}

// Default is a stack in ./tidewatch-data with Kafka at its usual address. Clock and log are the caller's.
func Default() Config { return Config{Dir: "tidewatch-data", KafkaListen: "127.0.0.1:9092"} }

// Validate reports what cannot work, all of it.
func (c Config) Validate() error {
	var errs []error
	switch {
	case c.Ephemeral && c.Dir != "":
		errs = append(errs, fmt.Errorf("an ephemeral stack has a folder of its own: leave out %s", c.Dir))
	case !c.Ephemeral && c.Dir == "":
		errs = append(errs, errors.New("the data folder is missing"))
	}
	if c.TopicBytes < 0 {
		errs = append(errs, fmt.Errorf("%d bytes of each partition cannot be kept", c.TopicBytes))
	}
	if c.Clock == nil || c.Log == nil {
		errs = append(errs, errors.New("the clock or the log is missing"))
	}
	if err := checkListen(c.KafkaListen); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check the embedded servers: %w", err)
	}
	return nil
}

func checkListen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen address of Kafka: %q is not host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("listen address of Kafka: %q is not a port", port)
	} else if n > 0 && n < 1024 {
		return fmt.Errorf("listen address of Kafka: port %d belongs to the system; the usual one is 9092", n)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return fmt.Errorf("listen address of Kafka: %q is every address of the machine, and clients have to be told one: "+
			"name the one that they shall connect to", address)
	}
	return nil
}
