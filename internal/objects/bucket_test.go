package objects

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/tidewatch/tidewatch/internal/testservers"

	"github.com/tidewatch/tidewatch/stream"
)

const (
	testAccess = "AKIATESTACCESSKEY"
	testSecret = "very/secret+key"
)

func fakeS3(t *testing.T) (endpoint string) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("tide"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return server.URL
}

func testConfig(endpoint, path string) Config {
	return Config{URL: "s3://" + path, Endpoint: endpoint, AccessKey: testAccess, SecretKey: testSecret}
}

func openTestBucket(t *testing.T, endpoint, path string) *bucket {
	t.Helper()
	s, err := Open(t.Context(), testConfig(endpoint, path))
	if err != nil {
		t.Fatal(err)
	}
	return s.(*bucket)
}

func TestBucket(t *testing.T) {
	endpoint := fakeS3(t)
	s := openTestBucket(t, endpoint, "tide/some/prefix")
	s.page = 7
	acceptance(t, s)
	whole := openTestBucket(t, endpoint, "tide")
	wantObject(t, whole, "some/prefix/put/a", []byte("content of put/a"))
	for _, key := range list(t, openTestBucket(t, endpoint, "tide/other"), "") {
		t.Errorf("%s shows under another prefix", key)
	}
}

func TestBucketMissing(t *testing.T) {
	_, err := Open(t.Context(), testConfig(fakeS3(t), "nobucket"))
	if stream.KindOfError(err) != stream.Fatal || !strings.Contains(err.Error(), "has no bucket nobucket; create it") {
		t.Fatalf("open: %v", err)
	}
}

func TestBucketAwayIsRetried(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), testConfig("http://"+address, "tide"))
	wantRefusal(t, err, stream.Retry, "cannot be reached")
}

func wantRefusal(t *testing.T, err error, kind stream.ErrorKind, says string) {
	t.Helper()
	if err == nil || stream.KindOfError(err) != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("%v (kind %d); want kind %d and %q", err, stream.KindOfError(err), kind, says)
	}
	for _, secret := range []string{testAccess, testSecret, "Signature="} {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the message %q holds a credential", err)
		}
	}
}

// answering is a server that gives one answer, with a message that repeats what it got.
func answering(t *testing.T, status int, code string) *bucket {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<Error><Code>" + code + "</Code><Message>" + r.Header.Get("Authorization") + " " + testSecret + "</Message></Error>"))
	}))
	t.Cleanup(server.Close)
	b := openTestBucket(t, fakeS3(t), "tide")
	return through(t, b, server.URL, nil)
}

// through is the same bucket behind another server or transport.
func through(t *testing.T, b *bucket, endpoint string, transport http.RoundTripper) *bucket {
	t.Helper()
	client, err := newClient(testConfig(endpoint, b.name), b.keys, transport)
	if err != nil {
		t.Fatal(err)
	}
	other := *b
	other.client, other.where = client, endpoint
	return &other
}

func TestBucketAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		kind   stream.ErrorKind
		says   string
	}{
		{403, "AccessDenied", stream.Fatal, "refuses the credentials"},
		{403, "SignatureDoesNotMatch", stream.Fatal, "check objects.access_key"},
		{404, "NoSuchBucket", stream.Fatal, "create it"},
		{409, "OperationAborted", stream.Retry, "OperationAborted"},
		{429, "SlowDown", stream.Retry, "SlowDown"},
		{400, "InvalidRequest", stream.Fatal, "InvalidRequest"},
		{400, "BadDigest", stream.Retry, "BadDigest"},
		{501, "NotImplemented", stream.Fatal, "NotImplemented"},
		{507, "XMinioStorageFull", stream.Retry, "is full"},
	} {
		t.Run(c.code, func(t *testing.T) {
			wantRefusal(t, answering(t, c.status, c.code).Put(t.Context(), "k", []byte("x")), c.kind, c.says)
		})
	}
}

// TestBucketComparesSizes uploads through a gateway that stores something else than it was sent.
func TestBucketComparesSizes(t *testing.T) {
	b := openTestBucket(t, fakeS3(t), "tide")
	changed := through(t, b, b.where, roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPut {
			framed := "1;chunk-signature=0\r\nx\r\n0\r\n"
			r.Body, r.ContentLength = http.NoBody, int64(len(framed))
			r.Body = readCloser{strings.NewReader(framed)}
			r.Header.Del("Content-Md5")
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	wantRefusal(t, changed.Put(t.Context(), "k", []byte("x")), stream.Retry, "bytes instead of 1")
}

func TestBucketLeavesNoUpload(t *testing.T) {
	b := openTestBucket(t, fakeS3(t), "tide")
	ctx, cancel := context.WithCancel(t.Context())
	counted := through(t, b, b.where, roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Has("uploads") || r.URL.Query().Has("uploadId") {
			t.Errorf("%s %s: a multipart upload", r.Method, r.URL)
		}
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/cut-off") {
			cancel()
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
	data := bytes.Repeat([]byte("x"), 70<<20)
	if err := counted.Put(t.Context(), "whole", data); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, counted.Put(ctx, "cut-off", data), stream.Retry, "did not answer in time")
	if _, err := b.Get(t.Context(), "cut-off"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("half an object is visible: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// TestBucketOnARealServer runs the suite over a server that others have written.
func TestBucketOnARealServer(t *testing.T) {
	b := testservers.S3(t)
	s, err := Open(t.Context(), Config{
		URL: "s3://" + b.Bucket + "/some/prefix", Endpoint: b.Endpoint, Region: b.Region, AccessKey: b.AccessKey, SecretKey: b.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.(*bucket).page = 7
	acceptance(t, s)
	t.Run("wrong secret", func(t *testing.T) {
		_, err := Open(t.Context(), Config{URL: "s3://" + b.Bucket, Endpoint: b.Endpoint, AccessKey: testAccess, SecretKey: testSecret})
		wantRefusal(t, err, stream.Fatal, "refuses the credentials")
	})
}
