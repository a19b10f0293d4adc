package testservers

import (
	"crypto/sha256"
	_ "embed" // for the lists of what is fetched
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// KafkaPOM is the list of jars that the broker consists of, in Maven's form.
//
//go:embed kafka/pom.xml
var KafkaPOM []byte

// Requirements are the foreign programs that read our files and write to our topics in tests, in pip's form.
//
//go:embed python/requirements.txt
var Requirements []byte

// The versions of what is fetched. The pom in kafka/ says the same version of Kafka; a test compares them.
const (
	KafkaVersion     = "4.1.0"
	VersitygwVersion = "v1.8.0"
)

// Require is the environment variable that lists the servers whose absence fails a test instead of skipping it.
const Require = "TIDEWATCH_TEST_REQUIRE"

// Names of the servers, as in the variable Require and on the command line of the fetcher.
const (
	NameKafka    = "kafka"
	NameRedis    = "redis"
	NamePostgres = "postgres"
	NameS3       = "s3"
	NamePython   = "python"
	NameChromium = "chromium" // for the tests that drive the page
	NameNPM      = "npm"      // the packages that the page is built with
)

// Cache is the folder in which fetched servers are kept: TIDEWATCH_CACHE, else "tidewatch" in the user's cache folder.
// It need not exist.
func Cache() (string, error) {
	if dir := os.Getenv("TIDEWATCH_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set TIDEWATCH_CACHE): %w", err)
	}
	return filepath.Join(dir, "tidewatch"), nil
}

// Place is where a server (one of the names) lies in the cache folder once it was fetched. The name of the folder holds
// the version, and for Kafka a hash of the pom, so another version never takes its place.
func Place(cache, server string) string {
	switch server {
	case NameKafka:
		sum := sha256.Sum256(KafkaPOM)
		return filepath.Join(cache, "kafka-"+KafkaVersion+"-"+hex.EncodeToString(sum[:4]))
	case NameS3:
		return filepath.Join(cache, "versitygw-"+VersitygwVersion)
	}
	return filepath.Join(cache, server)
}

// Missing says that a server is not on this machine, and how to get it. Find functions return it and tests skip on it.
type Missing struct {
	Server string // one of the names
	Reason string
	Way    string
}

// Error implements error.
func (m *Missing) Error() string { return fmt.Sprintf("no %s: %s; %s", m.Server, m.Reason, m.Way) }

// IsMissing reports whether err says that a server is not on this machine, in contrast to one that does not start.
func IsMissing(err error) bool {
	var m *Missing
	return errors.As(err, &m)
}

func missing(server, reason string) error {
	return &Missing{Server: server, Reason: reason, Way: "get it with `go run ./internal/testservers/fetch " + server + "`"}
}
