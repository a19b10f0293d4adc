// Package testservers starts real servers for tests: Kafka, Redis, PostgreSQL and S3, on free loopback ports and in
// temporary folders. Nothing it starts outlives the process: it is stopped when the test ends, and the kernel kills it
// when the process is killed (Linux).
//
// A test asks for what it needs in one line:
//
//	addr := testservers.Redis(t)       // host:port, a server of its own
//	dsn := testservers.Postgres(t)     // a fresh database
//	brokers := testservers.Kafka(t)    // shared within the process: use testservers.Name for topics and groups
//	bucket := testservers.S3(t)        // a fresh bucket
//
// A test that needs a server which is not on the machine is skipped with the reason and the way to get it, unless
// TIDEWATCH_TEST_REQUIRE (a list such as kafka,redis,postgres,s3) names it; then it fails. In short mode (go test -short)
// every such test is skipped. Tests never download anything: `go run ./internal/testservers/fetch` does.
//
// PostgreSQL, Kafka and S3 are shared by the tests of a process that run at the same time. A package with many such tests
// keeps them running between its tests with
//
//	func TestMain(m *testing.M) { os.Exit(testservers.Keep(m).Run()) }
//
// or, with goleak, goleak.VerifyTestMain(testservers.Keep(m)).
//
// Crash tests and commands outside of go test start their own with StartRedis, StartPostgres, StartKafka and StartS3: the
// handles can be killed, paused and restarted on the same port and folder.
package testservers
