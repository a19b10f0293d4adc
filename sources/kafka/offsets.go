package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
	"github.com/tidewatch/tidewatch/stream"
)

// The timestamps with a meaning of a question for offsets.
const (
	latest   = -1
	earliest = -2
)

// LogStart is the first offset that the partition still holds: where a new task begins. The topic must be the one that p
// means. Errors are Retry while the cluster is away.
func (s *Source) LogStart(ctx context.Context, p stream.Partition) (int64, error) {
	if _, err := s.find(ctx, p); err != nil {
		return 0, err
	}
	return s.offset(ctx, p, earliest)
}

// LogEnd is the offset behind the last record that all replicas have.
func (s *Source) LogEnd(ctx context.Context, p stream.Partition) (int64, error) {
	if _, err := s.find(ctx, p); err != nil {
		return 0, err
	}
	return s.offset(ctx, p, latest)
}

// Partitions is the number of partitions of the topic.
func (s *Source) Partitions(ctx context.Context, topic string) (int32, error) {
	t, err := s.topology.refresh(ctx, topic)
	if err != nil {
		return 0, err
	}
	if err := t[0].err; err != nil {
		return 0, kafkaclient.Mark(fmt.Errorf("count partitions of topic %s: %w", topic, err))
	}
	return int32(len(t[0].leaders)), nil
}

// PartitionsOf lists the partitions of the topic as they are now.
func (s *Source) PartitionsOf(ctx context.Context, topic string) ([]stream.Partition, error) {
	t, err := s.topology.refresh(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := t[0].err; err != nil {
		return nil, kafkaclient.Mark(fmt.Errorf("list partitions of topic %s: %w", topic, err))
	}
	all := make([]stream.Partition, len(t[0].leaders))
	for i := range all {
		all[i] = stream.Partition{Topic: topic, Number: int32(i), Incarnation: t[0].incarnation()}
	}
	return all, nil
}

// Ping asks the cluster whether it answers.
func (s *Source) Ping(ctx context.Context) error {
	if err := s.client.Ping(ctx); err != nil {
		return kafkaclient.Mark(fmt.Errorf("ask whether a broker answers: %w", err))
	}
	return nil
}

func (s *Source) offsets(ctx context.Context, p stream.Partition) (start, end int64, err error) {
	if start, err = s.offset(ctx, p, earliest); err != nil {
		return 0, 0, err
	}
	end, err = s.offset(ctx, p, latest)
	return start, end, err
}

func (s *Source) offset(ctx context.Context, p stream.Partition, at int64) (int64, error) {
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp = p.Number, at
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic, rt.Partitions = p.Topic, append(rt.Partitions, rp)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return 0, kafkaclient.Mark(fmt.Errorf("ask for the log of %s: %w", name(p), err))
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, stream.Mark(stream.Retry, fmt.Errorf("ask for the log of %s: %w", name(p), errUnanswered))
	}
	answer := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return 0, kafkaclient.Mark(fmt.Errorf("ask for the log of %s: %w", name(p), err))
	}
	return answer.Offset, nil
}
