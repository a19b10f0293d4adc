package kafkaclient

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/tidewatch/tidewatch/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestValidateNamesAllMistakes(t *testing.T) {
	err := Config{
		Brokers: []string{"a:1", "b", "c:"}, TLS: &TLS{Cert: "x"}, SASL: &SASL{Mechanism: "md5", User: "u", Password: "geheim"},
	}.Validate()
	for _, word := range []string{`"b"`, `"c:"`, "cert and key", "md5", "scram-sha-256"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %s", err, word)
		}
	}
	if strings.Contains(fmt.Sprint(err), "geheim") {
		t.Error("the password is in the message")
	}
	if err := (Config{}).Validate(); err == nil {
		t.Error("no brokers pass")
	}
	if err := (Config{Brokers: []string{"127.0.0.1:9092", "[::1]:9092"}, SASL: &SASL{Mechanism: "plain", User: "u"}}).Validate(); err != nil {
		t.Error(err)
	}
}

// certificate writes a certificate for 127.0.0.1, its key, and returns their files and the pair.
func certificate(t *testing.T) (cert, key string, pair tls.Certificate) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if err := errors.Join(os.WriteFile(cert, certPEM, 0o600), os.WriteFile(key, keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return cert, key, pair
}

func ping(t *testing.T, c Config) error {
	t.Helper()
	opts, err := c.Options(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return cl.Ping(ctx)
}

func TestTLSAndPasswords(t *testing.T) {
	cert, key, pair := certificate(t)
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "ada", "secret"),
			kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
		if err != nil {
			t.Fatal(err)
		}
		good := Config{
			Brokers: c.ListenAddrs(), TLS: &TLS{CA: cert, Cert: cert, Key: key}, SASL: &SASL{Mechanism: mechanism, User: "ada", Password: "secret"},
		}
		if err := ping(t, good); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		bad := good
		bad.TLS = &TLS{} // the system's roots do not know the certificate
		if err := ping(t, bad); err == nil {
			t.Errorf("%s: a certificate of nobody is trusted", mechanism)
		}
		c.Close()
	}
}

func TestFilesOfTLS(t *testing.T) {
	cert, _, _ := certificate(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []TLS{{CA: "nosuch"}, {CA: empty}, {Cert: cert, Key: cert}} {
		if _, err := (Config{Brokers: []string{"a:1"}, TLS: &c}).Options(nil); err == nil {
			t.Errorf("%+v passes", c)
		}
	}
}

func TestKinds(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("ask: %w", err) }
	for _, c := range []struct {
		err    error
		kind   stream.ErrorKind
		denied bool
	}{
		{kerr.NotLeaderForPartition, stream.Retry, false},
		{errors.New("connection reset"), stream.Retry, false},
		{context.DeadlineExceeded, stream.Retry, false},
		{kerr.TopicAuthorizationFailed, stream.Fatal, true},
		{kerr.SaslAuthenticationFailed, stream.Fatal, true},
		{kerr.InvalidTopicException, stream.Fatal, false},
		{stream.Mark(stream.Fatal, errors.New("explained")), stream.Fatal, false},
	} {
		if got := stream.KindOfError(Mark(wrapped(c.err))); got != c.kind {
			t.Errorf("%v has kind %d, want %d", c.err, got, c.kind)
		}
		if Denied(wrapped(c.err)) != c.denied {
			t.Errorf("%v: denied is %v", c.err, !c.denied)
		}
	}
	if Mark(nil) != nil || !errors.Is(Mark(context.Canceled), context.Canceled) {
		t.Error("what is no failure is marked")
	}
}

func TestTheClientsWordsAreForDebugging(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l := logger{log}
	if l.Level() != kgo.LogLevelInfo {
		t.Error(l.Level())
	}
	l.Log(kgo.LogLevelWarn, "words", "key", 1)
	if !strings.Contains(out.String(), "level=DEBUG msg=words key=1") {
		t.Error(out.String())
	}
	if l := (logger{slog.New(slog.NewTextHandler(&out, nil))}); l.Level() != kgo.LogLevelNone {
		t.Error("the client writes a log that nobody reads")
	}
}
