package kafka

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tidewatch/tidewatch/internal/kafkaclient"
)

// topology is what the cluster has last said about its topics. It is safe for concurrent use.
type topology struct {
	client *kgo.Client
	mu     struct {
		sync.RWMutex
		topics map[string]topic
	}
}

// topic is a description that nobody changes.
type topic struct {
	id      [16]byte
	leaders []int32 // by partition; -1: has none now
	err     error   // the broker's answer: missing, not allowed
}

// incarnation is the topic's id as stream.Partition holds it.
func (t *topic) incarnation() string { return hex.EncodeToString(t.id[:]) }

// refresh asks for the topics and returns what the cluster says about them, in their order. An error concerns the whole
// request, and has its kind.
func (t *topology) refresh(ctx context.Context, names ...string) ([]topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, n := range names {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = new(n)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return nil, kafkaclient.Mark(fmt.Errorf("ask for topics: %w", err))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.topics == nil {
		t.mu.topics = map[string]topic{}
	}
	for i := range resp.Topics {
		if rt := &resp.Topics[i]; rt.Topic != nil {
			t.mu.topics[*rt.Topic] = readTopic(rt)
		}
	}
	described := make([]topic, len(names))
	for i, n := range names {
		d, ok := t.mu.topics[n]
		if !ok {
			d.err = kerr.UnknownTopicOrPartition
		}
		described[i] = d
	}
	return described, nil
}

func readTopic(rt *kmsg.MetadataResponseTopic) topic {
	d := topic{id: rt.TopicID, err: kerr.ErrorForCode(rt.ErrorCode)}
	for range rt.Partitions {
		d.leaders = append(d.leaders, -1)
	}
	for _, p := range rt.Partitions {
		if p.ErrorCode == 0 && int(p.Partition) < len(d.leaders) {
			d.leaders[p.Partition] = p.Leader
		}
	}
	return d
}

// leader returns the partition's broker as last known, -1 if it is not.
func (t *topology) leader(p *partition) int32 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d, ok := t.mu.topics[p.id.Topic]
	if !ok || d.err != nil || d.id != p.topicID || int(p.id.Number) >= len(d.leaders) {
		return -1
	}
	return d.leaders[p.id.Number]
}
