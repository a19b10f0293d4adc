package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// TopicSpec describes a topic of our own.
type TopicSpec struct {
	Name       string
	Partitions int32
	Exact      bool              // refuse an existing topic with another number of partitions: records are assigned to them for good
	Config     map[string]string // "retention.ms" and so on; everything else is the broker's default
}

// EnsureTopics creates the topics that do not exist, with the replication that the brokers have as their default. An
// existing topic stays as it is. Errors are Retry while the cluster is away.
func (s *Source) EnsureTopics(ctx context.Context, specs []TopicSpec) error {
	admin := kadm.NewClient(s.client)
	for _, t := range specs {
		config := make(map[string]*string, len(t.Config))
		for k, v := range t.Config {
			config[k] = &v
		}
		_, err := admin.CreateTopic(ctx, t.Partitions, -1, config, t.Name)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			err = s.compare(ctx, t)
		}
		if errors.Is(err, kerr.InvalidReplicationFactor) { // brokers that have just started are not counted yet
			err = stream.Mark(stream.Retry, err)
		}
		if err != nil {
			return kafkaclient.Mark(fmt.Errorf("create topic %s with %d partitions: %w; if this user may not, create it by hand", t.Name, t.Partitions, err))
		}
	}
	return nil
}

// compare refuses an existing topic that is not as it must be.
func (s *Source) compare(ctx context.Context, t TopicSpec) error {
	if !t.Exact {
		return nil
	}
	n, err := s.Partitions(ctx, t.Name)
	if err != nil || n == t.Partitions {
		return err
	}
	return stream.Mark(stream.Fatal, fmt.Errorf("it exists with %d partitions, which somebody has changed or made", n))
}
