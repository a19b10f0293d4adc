package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/alerts"
	sinkkafka "github.com/tidewatch/tidewatch/sinks/kafka"
)

// logEnds are the topics with what they hold.
type logEnds struct {
	topics      kadm.TopicDetails
	first, last kadm.ListedOffsets
}

// shortRetention is less than a pause of all workers may take: records must be there until the snapshot after them is.
const shortRetention = time.Hour

func (e *examination) examineKafka(ctx context.Context) {
	const fix = "check kafka.brokers and that the brokers run; with TLS or SASL also kafka.tls and kafka.sasl"
	opts, err := kafkaConfig(e.config.Kafka).Options(nil)
	if err != nil {
		e.fail("kafka", fix, "%v", err)
		return
	}
	cl, err := kgo.NewClient(append(opts, kgo.RetryTimeout(checkPatience))...)
	if err != nil {
		e.fail("kafka", fix, "%v", err)
		return
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	limited, cancel := context.WithTimeout(ctx, checkPatience)
	meta, err := adm.Metadata(limited)
	cancel()
	if err != nil {
		e.fail("kafka", fix, "%s does not answer: %v", strings.Join(e.config.Kafka.Brokers, ","), err)
		return
	}
	version := "unknown version"
	if v, err := adm.ApiVersions(ctx); err == nil {
		v.Each(func(b kadm.BrokerApiVersions) {
			if b.Err == nil {
				version = b.VersionGuess()
			}
		})
	}
	e.ok("kafka", "%d brokers, %s", len(meta.Brokers), version)
	e.examineTopics(ctx, adm, meta)
	e.examineGroup(ctx, adm)
}

// inputs are the topics that pipelines read.
func (e *examination) inputs() (all []string) {
	for _, d := range e.described {
		for _, t := range d.Topics {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	slices.Sort(all)
	return all
}

func (e *examination) examineTopics(ctx context.Context, adm *kadm.Client, meta kadm.Metadata) {
	inputs := e.inputs()
	for _, t := range inputs {
		d, ok := meta.Topics[t]
		switch {
		case !ok || d.Err != nil:
			e.fail("topic "+t, "create it with as many partitions as it shall ever have: kafka-topics --create --topic "+t+" --partitions 12",
				"it does not exist; it is read by %s", strings.Join(e.readers(t), ", "))
		case len(meta.Brokers) > 1 && d.Partitions.NumReplicas() == 1:
			e.warn("topic "+t, "raise its replication factor to 3", "%d partitions, each on one broker only: losing it loses events", len(d.Partitions))
		default:
			e.ok("topic "+t, "%d partitions", len(d.Partitions))
		}
	}
	var missing []string
	for _, t := range []string{alerts.CommandsTopic, sinkkafka.DeadLetterTopic} {
		if d, ok := meta.Topics[t]; !ok || d.Err != nil {
			missing = append(missing, t)
		}
	}
	if len(missing) > 0 {
		e.warn("own topics", "start a worker: it creates them", "not there yet: %s", strings.Join(missing, ", "))
	}
	first, err := adm.ListStartOffsets(ctx)
	last, err2 := adm.ListEndOffsets(ctx)
	if err == nil && err2 == nil {
		e.ends = logEnds{meta.Topics, first, last}
	}
	e.examineRetention(ctx, adm, slices.DeleteFunc(inputs, func(t string) bool { return !meta.Topics.Has(t) }))
}

// readers are the pipelines that read a topic.
func (e *examination) readers(topic string) (names []string) {
	for _, d := range e.described {
		if slices.Contains(d.Topics, topic) {
			names = append(names, d.Name)
		}
	}
	return names
}

func (e *examination) examineRetention(ctx context.Context, adm *kadm.Client, topics []string) {
	configs, err := adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil || len(topics) == 0 {
		return // not everybody may ask; what is lost already shows in the tasks
	}
	for _, c := range configs {
		for _, k := range c.Configs {
			if k.Key != "retention.ms" || k.Value == nil {
				continue
			}
			ms, err := strconv.ParseInt(*k.Value, 10, 64)
			if keep := time.Duration(ms) * time.Millisecond; err == nil && ms >= 0 && keep < shortRetention {
				e.warn("topic "+c.Name, fmt.Sprintf("kafka-configs --alter --topic %s --add-config retention.ms=86400000", c.Name),
					"it keeps records for %s: after a longer pause of the workers some are lost", keep)
			}
		}
	}
}

// examineGroup asks whether workers are there.
func (e *examination) examineGroup(ctx context.Context, adm *kadm.Client) {
	groups, err := adm.DescribeGroups(ctx, e.config.Kafka.Group)
	if err != nil {
		e.warn("workers", "let this user describe the group", "the group %s cannot be described: %v", e.config.Kafka.Group, err)
		return
	}
	var members []string
	for _, g := range groups {
		for _, m := range g.Members {
			name := m.ClientID
			if m.InstanceID != nil {
				name = *m.InstanceID
			}
			members = append(members, name)
		}
	}
	slices.Sort(members)
	if len(members) == 0 {
		e.warn("workers", "start one: tidewatch serve", "no worker is in the group %s", e.config.Kafka.Group)
		return
	}
	e.ok("workers", "%d in the group %s: %s", len(members), e.config.Kafka.Group, strings.Join(members, ", "))
}
