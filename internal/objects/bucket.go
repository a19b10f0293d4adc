package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/tidewatch/tidewatch/stream"
)

// bucket keeps objects under a prefix of an S3 bucket.
type bucket struct {
	client *minio.Client
	name   string
	prefix string // ends in a slash, or is empty
	where  string // for messages: the server's address
	keys   keyPair
	page   int // objects in a page of a listing; 0: as many as the server gives
}

const (
	amazon        = "https://s3.amazonaws.com"
	defaultRegion = "us-east-1"
	// clientTries is how often the client sends a request by itself. Longer waits belong to the caller, who reports them.
	clientTries = 3
	// maxObject is what S3 takes in one request. Larger objects would need a multipart upload.
	maxObject = 5 << 30
)

func openBucket(ctx context.Context, cfg Config, u *url.URL, keys keyPair) (*bucket, error) {
	client, err := newClient(cfg, keys, nil)
	if err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	b := &bucket{client: client, name: u.Host, where: client.EndpointURL().String(), keys: keys}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		b.prefix = prefix + "/"
	}
	if err := b.check(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// newClient uses the given transport, or the client's own if it is nil.
func newClient(cfg Config, keys keyPair, transport http.RoundTripper) (*minio.Client, error) {
	endpoint, lookup := cfg.Endpoint, minio.BucketLookupPath
	if endpoint == "" {
		endpoint, lookup = amazon, minio.BucketLookupAuto
	}
	server, err := url.Parse(endpoint)
	if err != nil {
		return nil, cfg.validateEndpoint()
	}
	region := cfg.Region
	if region == "" {
		region = defaultRegion
	}
	return minio.New(server.Host, &minio.Options{
		Creds:        credentialsOf(keys),
		Secure:       server.Scheme == "https",
		Transport:    transport,
		Region:       region,
		BucketLookup: lookup,
		MaxRetries:   clientTries,
	})
}

func credentialsOf(keys keyPair) *credentials.Credentials {
	if keys.access != "" {
		return credentials.NewStaticV4(keys.access, keys.secret, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{},
		&credentials.IAM{Client: &http.Client{Transport: http.DefaultTransport}},
	})
}

// check asks for a listing, because answers to it say what is wrong; whether a bucket exists is asked with HEAD, and some
// servers answer that a bucket is missing where it is the account that they do not know.
func (b *bucket) check(ctx context.Context) error {
	err := b.List(ctx, "", func(stream.Object) error { return errEnough })
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

var errEnough = errors.New("enough")

// Put implements stream.Objects. The server checks the content against its MD5; sizes are compared because some gateways
// store the framing of a signed stream as content, which is also why the content is not signed.
func (b *bucket) Put(ctx context.Context, key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if int64(len(data)) > maxObject {
		return fail(stream.Fatal, nil, "put object %s: it has %d bytes, S3 takes %d at once", key, len(data), int64(maxObject))
	}
	_, err := b.client.PutObject(ctx, b.name, b.prefix+key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
		DisableContentSha256: true,
		DisableMultipart:     true,
		SendContentMd5:       true,
	})
	if err != nil {
		return b.failure("put", key, err)
	}
	info, err := b.client.StatObject(ctx, b.name, b.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return b.failure("put", key, err)
	}
	if info.Size != int64(len(data)) {
		return fail(stream.Retry, nil, "put object %s: %s stored %d bytes instead of %d; is there a gateway before it that changes uploads?",
			key, b.where, info.Size, len(data))
	}
	return nil
}

// Copy implements stream.Objects with a copy inside the server.
func (b *bucket) Copy(ctx context.Context, from, to string) error {
	if err := CheckKey(from); err != nil {
		return err
	}
	if err := CheckKey(to); err != nil {
		return err
	}
	_, err := b.client.StatObject(ctx, b.name, b.prefix+to, minio.StatObjectOptions{})
	if err == nil {
		return nil
	}
	if minio.ToErrorResponse(err).StatusCode != http.StatusNotFound {
		return b.failure("copy", to, err)
	}
	_, err = b.client.CopyObject(ctx,
		minio.CopyDestOptions{Bucket: b.name, Object: b.prefix + to},
		minio.CopySrcOptions{Bucket: b.name, Object: b.prefix + from})
	if err != nil {
		return b.failure("copy", from, err)
	}
	return nil
}

// Get implements stream.Objects.
func (b *bucket) Get(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	object, err := b.client.GetObject(ctx, b.name, b.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, b.failure("get", key, err)
	}
	defer closeRead(object)
	info, err := object.Stat()
	if err != nil {
		return nil, b.failure("get", key, err)
	}
	data := make([]byte, info.Size)
	if _, err := io.ReadFull(object, data); err != nil {
		return nil, b.failure("get", key, err)
	}
	return data, nil
}

// List implements stream.Objects.
func (b *bucket) List(ctx context.Context, prefix string, visit func(stream.Object) error) error {
	if err := checkPrefix(prefix); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the client's work when visit stops the listing
	defer cancel()
	options := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true, MaxKeys: b.page, FetchOwner: new(bool)}
	for object := range b.client.ListObjectsIter(ctx, b.name, options) {
		if object.Err != nil {
			return b.failure("list", prefix+"*", object.Err)
		}
		key := strings.TrimPrefix(object.Key, b.prefix)
		if key == "" || strings.HasSuffix(key, "/") {
			continue // the markers by which consoles show empty folders
		}
		err := visit(stream.Object{Key: key, Size: object.Size, Modified: stream.TimeOf(object.LastModified)})
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return b.failure("list", prefix+"*", err)
	}
	return nil
}

// Delete implements stream.Objects.
func (b *bucket) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	err := b.client.RemoveObject(ctx, b.name, b.prefix+key, minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return b.failure("delete", key, err)
	}
	return nil
}
