package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"

	"github.com/tidewatch/tidewatch/stream"
)

// failure has a text of our own and keeps the cause for errors.Is. The causes' own texts are not shown, because servers
// and clients put addresses, signatures and key ids into them.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

func fail(kind stream.ErrorKind, cause error, format string, args ...any) error {
	return stream.Mark(kind, &failure{fmt.Sprintf(format, args...), cause})
}

// missing is the error of an object that does not exist; it wraps fs.ErrNotExist.
func missing(verb, key string) error {
	return fail(stream.Fatal, fs.ErrNotExist, "%s object %s: it does not exist", verb, clip(key))
}

// folderFailure explains an error of the file system.
func folderFailure(verb, key, root string, err error) error {
	key = clip(key)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail(stream.Retry, err, "%s object %s: the disk of %s is full; free some space, the attempt is repeated", verb, key, root)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fail(stream.Fatal, err, "%s object %s: no permission in %s; the folder must be writable for the user that runs tidewatch", verb, key, root)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EEXIST):
		return fail(stream.Fatal, err, "%s object %s: %s has a folder where a file is wanted, or a file where a folder is wanted", verb, key, root)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return fail(stream.Fatal, err, "%s object %s: the name is too long for the file system of %s", verb, key, root)
	}
	cause := plainCause(err)
	if cause == escapes {
		return fail(stream.Fatal, err, "%s object %s: a symbolic link leads out of %s; mount or bind the other folder instead", verb, key, root)
	}
	return fail(stream.Retry, err, "%s object %s: %s", verb, key, cause)
}

// escapes is the text of the error by which os.Root refuses a path; it is not exported.
const escapes = "path escapes from parent"

// plainCause is the text below the path of an error, which is known already.
func plainCause(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err.Error()
	}
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err.Error()
	}
	return err.Error()
}

// bucketFailure explains an error of an S3 client. Server and address are named by the configuration's endpoint only.
func (b *bucket) failure(verb, key string, err error) error {
	key = clip(key)
	if answer, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return b.answered(verb, key, answer, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fail(stream.Retry, err, "%s object %s: %s did not answer in time", verb, key, b.where)
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err // without the address, which may be signed
	}
	return fail(stream.Retry, err, "%s object %s: %s cannot be reached: %s", verb, key, b.where, b.redact(err.Error()))
}

func (b *bucket) answered(verb, key string, a minio.ErrorResponse, err error) error {
	switch a.Code {
	case minio.NoSuchKey, "NotFound":
		return missing(verb, key)
	case minio.NoSuchBucket:
		return fail(stream.Fatal, err, "%s object %s: %s has no bucket %s; create it", verb, key, b.where, b.name)
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled", "AccountProblem", "XAdminUserNotFound":
		return fail(stream.Fatal, err, "%s object %s: %s refuses the credentials for bucket %s (%s); check objects.access_key, objects.secret_key and the rights of the account",
			verb, key, b.where, b.name, a.Code)
	case "XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "XAmzQuotaExceeded":
		return fail(stream.Retry, err, "%s object %s: %s is full (%s); free some space, the attempt is repeated", verb, key, b.where, a.Code)
	}
	kind := stream.Retry
	if (a.StatusCode >= 300 && a.StatusCode < 500 && !transient(a)) || a.StatusCode == http.StatusNotImplemented {
		kind = stream.Fatal
	}
	return fail(kind, err, "%s object %s: %s answers %s (status %d)", verb, key, b.where, b.redact(a.Code), a.StatusCode)
}

// statusClientClosed is what some proxies answer when they have lost the connection.
const statusClientClosed = 499

// transient names the answers below 500 that pass by waiting.
func transient(a minio.ErrorResponse) bool {
	switch a.StatusCode {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests, statusClientClosed:
		return true
	}
	switch a.Code {
	case "RequestTimeout", "RequestTimeTooSkewed", "SlowDown", "Throttling", "ThrottlingException", "ExpiredToken", "BadDigest",
		"OperationAborted", "IncompleteBody":
		return true
	}
	return false
}

// redact is the last defence for texts that we did not write.
func (b *bucket) redact(text string) string {
	for _, secret := range []string{b.keys.secret, b.keys.access} {
		if len(secret) >= 3 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}
