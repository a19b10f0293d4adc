package testservers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// KafkaOptions says how StartKafka runs the broker.
type KafkaOptions struct {
	HeapMB     int               // 0: 320
	Throughput bool              // let Java compile for speed; otherwise for a quick start
	Settings   map[string]string // more of the broker's own, as in server.properties
	Proxied    string            // address of a proxy: who comes by it to Behind is told to come by it again; "" for none
}

// KafkaServer is a running broker, a cluster of one.
type KafkaServer struct{ *Server }

// Brokers are the addresses for a client.
func (s *KafkaServer) Brokers() []string { return []string{s.Address()} }

// Behind is where the proxy of KafkaOptions leads to; "" if there is none.
func (s *KafkaServer) Behind() string {
	if len(s.ports) < 3 {
		return ""
	}
	return s.ports[2].address()
}

// StartKafka formats a folder and starts a broker on it, which is its own controller (KRaft). Topics are not created
// automatically. The caller closes it. The error IsMissing if the machine has no Java or no jars.
func StartKafka(ctx context.Context, opts KafkaOptions) (*KafkaServer, error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	java, err := FindJava()
	if err != nil {
		return nil, err
	}
	jars, err := FindKafka(cache)
	if err != nil {
		return nil, err
	}
	ports := 2
	if opts.Proxied != "" {
		ports = 3
	}
	s, err := allocate(ctx, NameKafka, ports)
	if err != nil {
		return nil, err
	}
	s.spec = spec{
		command: func() *exec.Cmd {
			cmd := exec.Command(java, javaArguments(s, jars, opts, "kafka.Kafka", s.folder.join("server.properties"))...) //nolint:noctx // the server outlives its start
			cmd.Env = environment(nil)
			return cmd
		},
		ready:   func(ctx context.Context) error { return pingKafka(ctx, s.Address()) },
		stop:    syscall.SIGTERM,
		abandon: syscall.SIGKILL,
	}
	if err := formatKafka(ctx, s, java, javaArguments(s, jars, KafkaOptions{HeapMB: 64}, "kafka.tools.StorageTool", "format",
		"--cluster-id", "tidewatch-test-cluster", "--config", s.folder.join("server.properties")), opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := begin(ctx, s); err != nil {
		return nil, err
	}
	return &KafkaServer{s}, nil
}

// formatKafka writes the configuration files and has the broker's own tool prepare its folder.
func formatKafka(ctx context.Context, s *Server, java string, arguments []string, opts KafkaOptions) error {
	files := map[string]string{"server.properties": kafkaProperties(s, opts), "log4j2.properties": kafkaLogging}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(s.folder.join(name), []byte(files[name]), 0o600); err != nil {
			return fmt.Errorf("write Kafka's configuration: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	format := exec.CommandContext(ctx, java, arguments...)
	format.Env, format.Dir = environment(nil), s.folder.path
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's folder: %w\n%s", err, out)
	}
	return nil
}

func javaArguments(s *Server, jars string, opts KafkaOptions, program ...string) []string {
	heap := opts.HeapMB
	if heap == 0 {
		heap = 320
	}
	args := []string{
		fmt.Sprintf("-Xmx%dm", heap), "-Xshare:auto", "-XX:-UsePerfData", // the last: no files in the common temporary folder
		"-Djava.io.tmpdir=" + s.Folder(), "-Dlog4j2.configurationFile=" + s.folder.join("log4j2.properties"),
	}
	if !opts.Throughput {
		args = append(args, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
	}
	return append(append(args, "-cp", jars), program...)
}

const kafkaLogging = `status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
`

// kafkaProperties is a broker that reacts at once: groups do not wait for more members, sessions may be short, and its
// inner topics have one partition.
func kafkaProperties(s *Server, opts KafkaOptions) string {
	broker, controller := s.ports[0].address(), s.ports[1].address()
	settings := map[string]string{
		"process.roles": "broker,controller", "node.id": "1",
		"listeners":            "PLAINTEXT://" + broker + ",CONTROLLER://" + controller,
		"advertised.listeners": "PLAINTEXT://" + broker, "controller.listener.names": "CONTROLLER",
		"controller.quorum.voters": "1@" + controller, "log.dirs": s.folder.join("data"),
		"auto.create.topics.enable":        "false",
		"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "200",
		"offsets.topic.replication.factor": "1", "offsets.topic.num.partitions": "1",
		"transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
		"transaction.state.log.num.partitions":             "1",
		"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
		// After a crash the controller waits this long before it lets the broker in again.
		"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "300",
		"num.network.threads": "2", "num.io.threads": "4",
	}
	if opts.Proxied != "" {
		settings["listeners"] += ",PROXIED://" + s.ports[2].address()
		settings["advertised.listeners"] += ",PROXIED://" + opts.Proxied
		settings["listener.security.protocol.map"] = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"
		settings["inter.broker.listener.name"] = "PLAINTEXT"
	}
	maps.Copy(settings, opts.Settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s=%s\n", name, settings[name])
	}
	return text.String()
}

// pingKafka asks for the cluster's metadata: the broker answers once the controller has let it in.
func pingKafka(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RetryTimeout(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Ping(ctx)
}
