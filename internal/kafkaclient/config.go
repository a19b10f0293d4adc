// Package kafkaclient says how to reach a Kafka cluster: addresses, TLS, SASL, and the log. The source and the sink build
// their clients from it, so that one part of the configuration serves both.
package kafkaclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Config is the connection to a cluster.
type Config struct {
	Brokers []string // host:port; any of them tells the others
	TLS     *TLS     // nil: plain text
	SASL    *SASL    // nil: no authentication
}

// TLS is the encryption of the connections. All files are PEM; empty names mean the system's roots and no client
// certificate.
type TLS struct {
	CA         string // file with the roots that may sign the brokers' certificates
	Cert, Key  string // files of the client's certificate
	ServerName string // expected in the certificate instead of the broker's host name
}

// SASL is a name and a password.
type SASL struct {
	Mechanism      string // "plain", "scram-sha-256" or "scram-sha-512"
	User, Password string
}

// Validate reports what cannot work, all of it.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka.brokers is empty: name at least one host:port"))
	}
	for _, b := range c.Brokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			errs = append(errs, fmt.Errorf("kafka.brokers: %q is not host:port", b))
		}
	}
	if c.TLS != nil && (c.TLS.Cert == "") != (c.TLS.Key == "") {
		errs = append(errs, errors.New("kafka.tls: cert and key belong together, give both or neither"))
	}
	if c.SASL != nil {
		if _, err := c.SASL.option(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Options are the options of every client of this cluster. The log may be nil; the client's own words go to its debug
// level, its warnings too: what matters is reported by whoever uses the client.
func (c Config) Options(log *slog.Logger) ([]kgo.Opt, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID("tidewatch"), kgo.DisableClientMetrics(),
	}
	if log != nil {
		opts = append(opts, kgo.WithLogger(logger{log}))
	}
	if c.TLS != nil {
		t, err := c.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(t))
	}
	if c.SASL != nil {
		o, err := c.SASL.option()
		if err != nil {
			return nil, err
		}
		opts = append(opts, o)
	}
	return opts, nil
}

func (t *TLS) config() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read kafka.tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read kafka.tls.ca: %s holds no PEM certificate", t.CA)
		}
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read kafka.tls.cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (s *SASL) option() (kgo.Opt, error) {
	if s.User == "" {
		return nil, errors.New("kafka.sasl.user is empty")
	}
	switch s.Mechanism {
	case "plain":
		return kgo.SASL(plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()), nil
	case "scram-sha-256":
		return kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()), nil
	case "scram-sha-512":
		return kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()), nil
	}
	return nil, fmt.Errorf("kafka.sasl.mechanism %q is unknown: use plain, scram-sha-256 or scram-sha-512", s.Mechanism)
}
