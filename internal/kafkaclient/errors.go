package kafkaclient

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/stream"
)

// Mark gives an error of the client its kind: what a broker says with a code that may pass, and everything that is wrong
// with a connection, is Retry; codes that stay are Fatal. Errors that have their kind, and those of a cancelled context,
// come back as they are.
func Mark(err error) error {
	var marked *stream.Error
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) || errors.As(err, &marked) {
		return err
	}
	if Final(err) {
		return stream.Mark(stream.Fatal, err)
	}
	return stream.Mark(stream.Retry, err)
}

// Final says that no repetition helps: the broker refuses, and it is neither a matter of time nor of another broker.
func Final(err error) bool {
	var code *kerr.Error
	return errors.As(err, &code) && !code.Retriable
}

// Denied says that the broker knows who asks and does not allow it, or does not believe who asks.
func Denied(err error) bool {
	for _, e := range []error{
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.TransactionalIDAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnsupportedSaslMechanism,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
