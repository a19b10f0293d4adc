// Package devstack runs what the product needs inside and beneath its own process, for a machine on which nothing else is
// installed: a Kafka broker and a Redis in the process, a PostgreSQL below it, and a folder as object store.
//
// It is a single node: for trying the product out, for demonstrations and for tests, not for production. What it promises:
//
//	part        a kill of the process           a power failure
//	Kafka       no acknowledged record is lost  the last seconds may be lost, unless Config.SyncWrites is set
//	PostgreSQL  no commit is lost               no commit is lost
//	objects     no file is lost                 as the file system has it
//	Redis       empty: the engine refills it    empty
//
// After a power failure PostgreSQL may know offsets that the broker has lost; the engine then refuses to go on, as it does
// with any log that was cut. SyncWrites prevents that; each produced batch then waits for the disk twice.
//
// The broker is franz-go's kfake, the Redis is miniredis: fakes for tests with surprisingly complete manners. What they
// lack for this use is made up for here, and says so where it is: kafka_mend.go, kafka_retention.go, redis.go, listener.go.
//
// The data folder holds lock, kafka/, postgres/ and objects/. One process uses it at a time.
package devstack
