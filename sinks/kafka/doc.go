// Package kafka writes to Kafka: rows of a pipeline as JSON events, dead letters, and whatever else of the product appends
// records. One idempotent producer serves a worker; each task writes through its own Writer, which knows what of its
// records is acknowledged.
//
// # What readers get
//
// Everything arrives at least once: a task that starts again repeats what it had written since its row was claimed.
// Headers say what a record is:
//
//	tidewatch.task    the task that wrote it: instance/stage/topic.incarnation/partition
//	tidewatch.phase   event, closed, revised, final, late or live
//	tidewatch.offset  of an event or a late event: its offset in the task's partition; of the row of a window: the next
//	                  offset to read when it was computed
//	tidewatch.step    number of control records (idle ticks) up to there
//	tidewatch.index   which of the records with the same task, phase, offset and step it is; not on live rows
//
// Two records that agree in all five are the same row, so readers drop the later one. Live rows show an open window now and
// then; they are absolute values: keep the one with the highest (offset, step) of each group and window.
//
// An output in transactions (TransactionSink) is there exactly once for readers with isolation.level=read_committed, after the
// claim of its epoch, all rows of a task in one partition and in order. The transactional id is GROUP/TASK/STEP; a consumer
// group of the same name holds how far the topic is complete, as metadata of the offset of the task's partition:
//
//	{"offset": 120, "step": 3, "rows": 7}   seven rows of this version, and all of versions before it
//
// Late events and dead letters that are not written so stay at least once.
//
// A window's row has its window, "time" and "window_end", before its columns.
//
// # Dead letters
//
// The topic tidewatch.dead-letters has for each rejected record its key and value, byte for byte, as key and value, and
// in headers
//
//	tidewatch.pipeline, tidewatch.topic, tidewatch.incarnation (the topic's id), tidewatch.partition, tidewatch.offset
//	tidewatch.kind       rejected: it does not decode or fails validation; quarantined: no step can process it; parked: it is
//	                     a row that an output refuses for good. Letters of old versions have no kind and are about
//	                     rejected records
//	tidewatch.reason     why it was rejected
//	tidewatch.detail     more about the reason, if there is: the stack of a panic
//	tidewatch.timestamp  the broker's, of the record; RFC 3339
//	tidewatch.size       the length of the value, only where it was cut because no broker would take it whole
//
// besides the headers above. Readers drop repeats of the same pipeline, topic, incarnation, partition and offset. The letter
// about a parked row has the row as JSON as its value, the offset of its version, the phase and step of the row, and
//
//	tidewatch.sink, tidewatch.output  kafka, redis or postgres, and the output of the pipeline
//	tidewatch.target, tidewatch.row   the topic or key, and what tells the row from others: a repeat agrees in both
//
// What somebody did about a letter is a note on the same topic and partition: a record without key and value, with the
// headers that tell the place of the rejected record, and
//
//	tidewatch.handled  retried or dropped
//	tidewatch.by, tidewatch.note
//	tidewatch.sent_to  of retried: where the record lies now, TOPIC/PARTITION/OFFSET
//
// The last note about a letter counts. A record that was sent again has the header tidewatch.retry_of.
package kafka
