package testservers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(Keep(m),
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

func TestRedisIsEmptyAndAlone(t *testing.T) {
	t.Parallel()
	first, second := Redis(t), Redis(t)
	if first == second {
		t.Fatal("two calls share a server")
	}
	redisSays(t, first, "SET a 1", "+OK")
	redisSays(t, second, "EXISTS a", ":0")
}

func redisSays(t *testing.T, address, command, want string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len(want))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != want {
		t.Fatalf("%s: %q, %v; want %q", command, answer, err, want)
	}
}

func TestRedisSurvivesAKill(t *testing.T) {
	t.Parallel()
	allowed(t, NameRedis)
	server, err := StartRedis(t.Context(), RedisOptions{AppendOnly: true, Arguments: []string{"--appendfsync", "always"}})
	check(t, NameRedis, err)
	closeAfter(t, server.Close)
	redisSays(t, server.Address(), "SET a 1", "+OK")
	killedAndBack(t, server.Server)
	redisSays(t, server.Address(), "GET a", "$1\r\n1")
	pausedAndBack(t, server.Server, func(ctx context.Context) error { return pingRedis(ctx, server.Address()) })
}

// killedAndBack kills the server and starts it again; it must not answer in between.
func killedAndBack(t *testing.T, s *Server) {
	t.Helper()
	address := s.Address()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.spec.ready(t.Context()); err == nil || s.Running() {
		t.Fatal("the server answers after it was killed")
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Address() != address {
		t.Fatalf("the server moved from %s to %s", address, s.Address())
	}
}

// pausedAndBack demands silence during a pause and an answer after it.
func pausedAndBack(t *testing.T, s *Server, ask func(context.Context) error) {
	t.Helper()
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := ask(ctx); err == nil {
		t.Fatal("a paused server answers")
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := ask(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresDatabasesAreApart(t *testing.T) {
	t.Parallel()
	first, second := Postgres(t), Postgres(t)
	run(t, first, "CREATE TABLE a (n int)")
	run(t, second, "CREATE TABLE a (n int)")
	if u, v := mustParse(t, first), mustParse(t, second); u.Port != v.Port || u.Database == v.Database {
		t.Fatalf("%s and %s: want one server and two databases", first, second)
	}
}

func mustParse(t *testing.T, dsn string) *pgx.ConnConfig {
	t.Helper()
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func run(t *testing.T, dsn, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresSurvivesAKill(t *testing.T) {
	t.Parallel()
	allowed(t, NamePostgres)
	server, err := StartPostgres(t.Context(), PostgresOptions{Fsync: true, Settings: map[string]string{"work_mem": "8MB"}})
	check(t, NamePostgres, err)
	closeAfter(t, server.Close)
	dsn, err := server.CreateDatabase(t.Context(), "kept")
	check(t, NamePostgres, err)
	run(t, dsn, "CREATE TABLE a AS SELECT 1 AS n")
	open, err := pgx.Connect(t.Context(), dsn) // its backend must be gone before the server starts again
	check(t, NamePostgres, err)
	killedAndBack(t, server.Server)
	if err := open.Ping(t.Context()); err == nil {
		t.Error("a connection outlived the kill")
	}
	open, err = pgx.Connect(t.Context(), dsn)
	check(t, NamePostgres, err)
	defer open.Close(context.WithoutCancel(t.Context()))
	var n int
	var memory string
	if err := open.QueryRow(t.Context(), "SELECT n, current_setting('work_mem') FROM a").Scan(&n, &memory); err != nil || n != 1 || memory != "8MB" {
		t.Fatalf("read %d, %s, %v; want 1, 8MB", n, memory, err)
	}
	pausedAndBack(t, server.Server, server.ping)
}

func TestKafka(t *testing.T) {
	t.Parallel()
	brokers := Kafka(t)
	client := newKafka(t, brokers)
	defer client.Close()
	topic := Name("events")
	createTopic(t, client, topic)
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("one")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	client.AddConsumeTopics(topic)
	fetched := client.PollFetches(t.Context())
	if records := fetched.Records(); len(records) != 1 || string(records[0].Value) != "one" {
		t.Fatalf("fetched %v, %v", records, fetched.Errors())
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: Name("never-made")}).FirstErr(); err == nil {
		t.Error("a topic was made by writing to it")
	}
	if again := Kafka(t); again[0] != brokers[0] {
		t.Errorf("a second broker was started: %s and %s", brokers, again)
	}
}

func newKafka(t *testing.T, brokers []string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.UnknownTopicRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func createTopic(t *testing.T, client *kgo.Client, topic string) {
	t.Helper()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

func TestKafkaSurvivesAKill(t *testing.T) {
	t.Parallel()
	allowed(t, NameKafka)
	server, err := StartKafka(t.Context(), KafkaOptions{Settings: map[string]string{"num.partitions": "3"}})
	check(t, NameKafka, err)
	closeAfter(t, server.Close)
	client := newKafka(t, server.Brokers())
	defer client.Close()
	createTopic(t, client, "kept")
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "kept", Value: []byte("one")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	killedAndBack(t, server.Server)
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "kept")
	if end, found := ends.Lookup("kept", 0); err != nil || !found || end.Offset != 1 {
		t.Fatalf("end offset %v, %v; want 1", end, err)
	}
	pausedAndBack(t, server.Server, func(ctx context.Context) error { return pingKafka(ctx, server.Address()) })
}

func TestS3BucketsAreApart(t *testing.T) {
	t.Parallel()
	first, second := S3(t), S3(t)
	if first.Bucket == second.Bucket || first.Endpoint != second.Endpoint {
		t.Fatalf("%v and %v: want one server and two buckets", first, second)
	}
	server := &S3Server{&Server{ports: []*port{{number: portOf(t, first.Endpoint)}}}}
	roundTrip(t, server, first.Bucket)
}

func portOf(t *testing.T, endpoint string) int {
	t.Helper()
	number, err := net.DefaultResolver.LookupPort(t.Context(), "tcp", endpoint[strings.LastIndex(endpoint, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func roundTrip(t *testing.T, server *S3Server, bucket string) {
	t.Helper()
	client, err := server.client()
	check(t, NameS3, err)
	_, err = client.PutObject(t.Context(), bucket, "deep/er/key", strings.NewReader("text"), 4,
		minio.PutObjectOptions{DisableContentSha256: true, UserMetadata: map[string]string{"Owner": "me"}})
	check(t, NameS3, err)
	readBack(t, client, bucket)
}

func readBack(t *testing.T, client *minio.Client, bucket string) {
	t.Helper()
	object, err := client.GetObject(t.Context(), bucket, "deep/er/key", minio.GetObjectOptions{})
	check(t, NameS3, err)
	text, err := io.ReadAll(object)
	if err := errors.Join(err, object.Close()); err != nil || !bytes.Equal(text, []byte("text")) {
		t.Fatalf("read %q, %v; want text", text, err)
	}
}

func TestS3SurvivesAKill(t *testing.T) {
	t.Parallel()
	allowed(t, NameS3)
	server, err := StartS3(t.Context())
	check(t, NameS3, err)
	closeAfter(t, server.Close)
	bucket, err := server.CreateBucket(t.Context(), "kept")
	check(t, NameS3, err)
	roundTrip(t, server, bucket.Bucket)
	killedAndBack(t, server.Server)
	client, err := server.client()
	check(t, NameS3, err)
	readBack(t, client, bucket.Bucket)
	pausedAndBack(t, server.Server, server.ping)
}

func TestStopRestartClose(t *testing.T) {
	t.Parallel()
	allowed(t, NameRedis)
	server, err := StartRedis(t.Context(), RedisOptions{})
	check(t, NameRedis, err)
	if err := server.Start(t.Context()); err == nil {
		t.Error("a running server was started")
	}
	before := server.PID()
	if err := server.Restart(t.Context()); err != nil || server.PID() == before || before == 0 {
		t.Errorf("restarted from %d to %d, %v", before, server.PID(), err)
	}
	if err := errors.Join(server.Stop(), server.Stop()); err != nil || server.Running() || server.PID() != 0 {
		t.Errorf("stopped: running %v, %v", server.Running(), err)
	}
	if err := server.Pause(); err == nil {
		t.Error("a stopped server was paused")
	}
	if err := errors.Join(server.Close(), server.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(server.Folder()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := server.Start(t.Context()); err == nil {
		t.Error("a closed server was started")
	}
}

// TestPostgresFailsOver: what the standby has not got is lost, and the timeline is another one.
func TestPostgresFailsOver(t *testing.T) {
	t.Parallel()
	allowed(t, NamePostgres)
	primary, err := StartPostgres(t.Context(), PostgresOptions{})
	check(t, NamePostgres, err)
	closeAfter(t, primary.Close)
	dsn, err := primary.CreateDatabase(t.Context(), "kept")
	check(t, NamePostgres, err)
	run(t, dsn, "CREATE TABLE a AS SELECT 1 AS n")
	standby, err := primary.StartStandby(t.Context())
	check(t, NamePostgres, err)
	closeAfter(t, standby.Close)
	check(t, NamePostgres, standby.Detach(t.Context()))
	run(t, dsn, "INSERT INTO a VALUES (2)")
	check(t, NamePostgres, primary.Kill())
	check(t, NamePostgres, standby.Promote(t.Context()))
	conn, err := pgx.Connect(t.Context(), standby.DSN("kept"))
	check(t, NamePostgres, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	var rows int
	var timeline string
	err = conn.QueryRow(t.Context(), "SELECT count(*), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM a").Scan(&rows, &timeline)
	if err != nil || rows != 1 || timeline != "00000002" {
		t.Errorf("%d rows on timeline %s, %v; want 1 on 2", rows, timeline, err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO a VALUES (3)"); err != nil {
		t.Error(err)
	}
}
