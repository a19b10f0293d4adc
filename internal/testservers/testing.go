package testservers

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// Runner is what Keep wraps: a *testing.M, or another Kept.
type Runner interface{ Run() int }

// Kept runs the tests of a package and keeps shared servers running between them.
type Kept struct{ runner Runner }

// Keep makes the shared servers stay until all tests of the package have run. See the package comment.
func Keep(m Runner) Kept { return Kept{runner: m} }

// Run runs the tests, then stops the servers. It answers the exit code.
func (k Kept) Run() int {
	if err := keepShared(true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := k.runner.Run()
	if err := keepShared(false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// Redis answers host:port of an empty Redis that only this test uses.
func Redis(t testing.TB) string {
	t.Helper()
	allowed(t, NameRedis)
	server, err := StartRedis(context.WithoutCancel(t.Context()), RedisOptions{})
	check(t, NameRedis, err)
	closeAfter(t, server.Close)
	return server.Address()
}

// Postgres answers the DSN of an empty database that only this test uses. It is dropped afterwards, so close your
// connections before that: register their Cleanup after this call.
func Postgres(t testing.TB) string {
	t.Helper()
	allowed(t, NamePostgres)
	ctx := context.WithoutCancel(t.Context())
	server, err := shared.postgres.borrow(ctx, func(ctx context.Context) (*PostgresServer, error) {
		return StartPostgres(ctx, PostgresOptions{})
	})
	check(t, NamePostgres, err)
	closeAfter(t, shared.postgres.giveBack)
	name := "t" + strings.ReplaceAll(unique(), "-", "_")
	dsn, err := server.CreateDatabase(ctx, name)
	check(t, NamePostgres, err)
	closeAfter(t, func() error { return server.DropDatabase(ctx, name) })
	return dsn
}

// Kafka answers the addresses of a broker that the tests of this process share: name topics and groups with Name. Topics
// are not created automatically and not deleted.
func Kafka(t testing.TB) []string {
	t.Helper()
	allowed(t, NameKafka)
	server, err := shared.kafka.borrow(context.WithoutCancel(t.Context()), func(ctx context.Context) (*KafkaServer, error) {
		return StartKafka(ctx, KafkaOptions{})
	})
	check(t, NameKafka, err)
	closeAfter(t, shared.kafka.giveBack)
	return server.Brokers()
}

// S3 answers an empty bucket that only this test uses.
func S3(t testing.TB) Bucket {
	t.Helper()
	allowed(t, NameS3)
	ctx := context.WithoutCancel(t.Context())
	server, err := shared.s3.borrow(ctx, StartS3)
	check(t, NameS3, err)
	closeAfter(t, shared.s3.giveBack)
	bucket, err := server.CreateBucket(ctx, "bucket-"+unique())
	check(t, NameS3, err)
	return bucket
}

// Python answers the interpreter of the environment that has DuckDB, pyarrow and confluent-kafka.
func Python(t testing.TB) string {
	t.Helper()
	allowed(t, NamePython)
	cache, err := Cache()
	check(t, NamePython, err)
	path, err := FindPython(cache)
	check(t, NamePython, err)
	return path
}

// Name makes a name for a topic or a group that no other test uses: prefix, a number, the id of this process.
func Name(prefix string) string { return prefix + "-" + unique() }

// counter numbers names. A package variable for the reason given at shared.
var counter atomic.Int64

func unique() string { return fmt.Sprintf("%d-%d", counter.Add(1), os.Getpid()) }

// allowed skips the test in short mode.
func allowed(t testing.TB, server string) {
	t.Helper()
	if testing.Short() && !required(t, server) {
		t.Skipf("no %s in short mode", server)
	}
}

// check ends the test if the server cannot be used: skipped if the machine has none and nobody requires it.
func check(t testing.TB, server string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case IsMissing(err) && !required(t, server):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// required reports whether the environment demands the server. A name that nobody knows is a failure: a typo there would
// turn a demand into a skip.
func required(t testing.TB, server string) bool {
	t.Helper()
	known := []string{NameKafka, NameRedis, NamePostgres, NameS3, NamePython, NameChromium, NameNPM}
	names := strings.FieldsFunc(os.Getenv(Require), func(r rune) bool { return r == ',' || r == ' ' })
	for _, name := range names {
		if !slices.Contains(known, name) {
			t.Fatalf("%s: unknown server %q, know %s", Require, name, strings.Join(known, ", "))
		}
	}
	return slices.Contains(names, server)
}

func closeAfter(t testing.TB, closing func() error) {
	t.Helper()
	t.Cleanup(func() {
		if err := closing(); err != nil {
			t.Error(err)
		}
	})
}
