package testservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Bucket is an empty bucket and how to reach it.
type Bucket struct {
	Endpoint             string // http://host:port
	Bucket               string
	AccessKey, SecretKey string
	Region               string
}

// S3Server is a running S3 server that keeps its objects as files.
type S3Server struct{ *Server }

// The account of every server started here. It listens on loopback only and lives as long as a test.
const (
	s3AccessKey = "tidewatch-test"
	s3SecretKey = "tidewatch-test-secret"
	s3Region    = "us-east-1"
)

// StartS3 starts an S3 server without buckets. The caller closes it. The error IsMissing if the machine has none.
func StartS3(ctx context.Context) (*S3Server, error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	binary, err := FindS3(cache)
	if err != nil {
		return nil, err
	}
	s, err := allocate(ctx, NameS3, 1)
	if err != nil {
		return nil, err
	}
	server := &S3Server{s}
	s.spec = spec{
		command: func() *exec.Cmd { return server.command(binary) },
		ready:   server.ping,
		stop:    syscall.SIGTERM,
		abandon: syscall.SIGKILL,
	}
	// Metadata goes into files beside the objects: not every file system has extended attributes.
	for _, name := range []string{"objects", "metadata"} {
		if err := os.Mkdir(s.folder.join(name), 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("make the folder of the S3 server: %w", err), s.Close())
		}
	}
	if err := begin(ctx, s); err != nil {
		return nil, err
	}
	return server, nil
}

func (s *S3Server) command(binary Binary) *exec.Cmd {
	cmd := exec.Command(binary.Path, "--port", s.Address(), "--region", s3Region, //nolint:noctx // the server outlives its start
		"posix", "--sidecar", s.folder.join("metadata"), s.folder.join("objects"))
	cmd.Env = environment(binary.Libraries, "ROOT_ACCESS_KEY="+s3AccessKey, "ROOT_SECRET_KEY="+s3SecretKey)
	return cmd
}

// CreateBucket makes an empty bucket; S3 wants names of 3 to 63 lower-case letters, digits and hyphens.
func (s *S3Server) CreateBucket(ctx context.Context, name string) (Bucket, error) {
	client, err := s.client()
	if err != nil {
		return Bucket{}, err
	}
	if err := client.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: s3Region}); err != nil {
		return Bucket{}, fmt.Errorf("make bucket %s: %w", name, err)
	}
	return Bucket{
		Endpoint: "http://" + s.Address(), Bucket: name, AccessKey: s3AccessKey, SecretKey: s3SecretKey, Region: s3Region,
	}, nil
}

func (s *S3Server) client() (*minio.Client, error) {
	client, err := minio.New(s.Address(), &minio.Options{
		Creds: credentials.NewStaticV4(s3AccessKey, s3SecretKey, ""), Region: s3Region, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("make an S3 client: %w", err)
	}
	return client, nil
}

func (s *S3Server) ping(ctx context.Context) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	_, err = client.ListBuckets(ctx)
	return err
}
