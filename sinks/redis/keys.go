package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/tidewatch/tidewatch/stream"
)

// All names are made here; KEYS.md describes them.

func (c *Client) readyKey() string   { return c.prefix + ":ready" }
func (c *Client) outputsKey() string { return c.prefix + ":outputs" }

// place is the common beginning of the keys of an output. The braces are a hash tag: on a cluster all of them are on one
// node, so that one call may change several.
func (c *Client) place(o *Output) string {
	return c.prefix + ":{" + o.Instance + "/" + o.Name + "}:"
}

func tasksKey(place string) string   { return place + "tasks" }
func throughKey(place string) string { return place + "through" }
func changesKey(place string) string { return place + "changes" }
func noticesOf(place string) string  { return place + "notices" }

func windowKey(place string, start stream.Time) string {
	return string(appendWindowKey(nil, place, start))
}

func appendWindowKey(dst []byte, place string, start stream.Time) []byte {
	return strconv.AppendInt(append(append(dst, place...), "w:"...), int64(start), 10)
}

// writer names a task within the keys of an output: a hash of what must never be compared (topic, incarnation,
// generation), and the partition.
func writer(p stream.Partition, generation int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", p.Topic, p.Incarnation, generation))
	return hex.EncodeToString(sum[:4]) + "/" + strconv.Itoa(int(p.Number))
}

// slotField is the field of a block.
func slotField(writer string, slot int) string { return writer + "/" + strconv.Itoa(slot) }

// partitionField is the field of a task in the hash of tasks.
func partitionField(p stream.Partition) string { return p.Topic + "/" + strconv.Itoa(int(p.Number)) }
