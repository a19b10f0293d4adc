package objects

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
)

const (
	schemeFile = "file"
	schemeS3   = "s3"
)

// Config is the section `objects` of the configuration.
type Config struct {
	URL string `yaml:"url"` // file:///path or s3://bucket/prefix
	// Endpoint is the address of an S3 server that is not Amazon's: http://host:port or https://host.
	Endpoint string `yaml:"endpoint"`
	Region   string `yaml:"region"` // us-east-1 if empty
	// The keys of an S3 account, given or read from a file. Without them the usual places are asked: the AWS_ variables,
	// the shared credentials file, the role of the machine.
	AccessKey     string `yaml:"access_key"`
	AccessKeyFile string `yaml:"access_key_file"`
	SecretKey     string `yaml:"secret_key"`
	SecretKeyFile string `yaml:"secret_key_file"`
}

// Default is a store in the folder tidewatch-data/objects under dir, an absolute path.
func Default(dir string) Config {
	return Config{URL: (&url.URL{Scheme: schemeFile, Path: dir + "/tidewatch-data/objects"}).String()}
}

// Validate reports every mistake that shows without asking the store.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil {
		return errURL(c.URL)
	}
	if u.User != nil {
		return errors.New("check objects.url: credentials do not belong in it; use objects.access_key_file and objects.secret_key_file")
	}
	switch u.Scheme {
	case schemeFile:
		return c.validateFolder(u)
	case schemeS3:
		return errors.Join(c.validateBucket(u), c.validateEndpoint(), c.validateKeys())
	}
	return errURL(c.URL)
}

// errURL does not repeat the whole address: a typo may have put a credential anywhere in it.
func errURL(raw string) error {
	scheme, _, found := strings.Cut(raw, "://")
	if !found {
		scheme = "none"
	}
	return fmt.Errorf("check objects.url: want file:///path or s3://bucket/prefix, got scheme %q", scheme)
}

func (c Config) validateFolder(u *url.URL) error {
	if u.Host != "" && u.Host != "localhost" {
		return fmt.Errorf("check objects.url: a folder begins with three slashes: file:///%s%s", u.Host, u.Path)
	}
	if u.Path == "" || u.Path == "/" {
		return errors.New("check objects.url: the folder is missing: file:///path")
	}
	return nil
}

func (c Config) validateBucket(u *url.URL) error {
	if u.Host == "" {
		return errors.New("check objects.url: the bucket is missing: s3://bucket/prefix")
	}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		if err := CheckKey(prefix); err != nil {
			return fmt.Errorf("check objects.url: %w", err)
		}
	}
	return nil
}

func (c Config) validateEndpoint() error {
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return errors.New("check objects.endpoint: want http://host:port or https://host")
	case u.User != nil:
		return errors.New("check objects.endpoint: credentials do not belong in it; use objects.access_key_file and objects.secret_key_file")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return errors.New("check objects.endpoint: a path or query does not belong in it; the prefix is part of objects.url")
	}
	return nil
}

func (c Config) validateKeys() error {
	switch {
	case c.AccessKey != "" && c.AccessKeyFile != "":
		return errors.New("check objects: both access_key and access_key_file are given")
	case c.SecretKey != "" && c.SecretKeyFile != "":
		return errors.New("check objects: both secret_key and secret_key_file are given")
	case (c.AccessKey != "" || c.AccessKeyFile != "") != (c.SecretKey != "" || c.SecretKeyFile != ""):
		return errors.New("check objects: access_key and secret_key are given together or not at all")
	}
	return nil
}

type keyPair struct{ access, secret string }

func (c Config) keys() (keyPair, error) {
	access, err := readSecret(c.AccessKey, c.AccessKeyFile)
	if err != nil {
		return keyPair{}, fmt.Errorf("read objects.access_key_file: %w", err)
	}
	secret, err := readSecret(c.SecretKey, c.SecretKeyFile)
	if err != nil {
		return keyPair{}, fmt.Errorf("read objects.secret_key_file: %w", err)
	}
	return keyPair{access, secret}, nil
}

func readSecret(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if value = strings.TrimSpace(string(b)); value == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return value, nil
}

// String shows the configuration without its keys.
func (c Config) String() string {
	s := c.URL
	if u, err := url.Parse(c.URL); err == nil {
		s = u.Redacted()
	}
	if c.Endpoint != "" {
		s += " at " + c.Endpoint
	}
	return s
}

// LogValue keeps the keys out of logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
