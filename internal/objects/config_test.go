package objects

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	for _, c := range []struct {
		config Config
		says   string // "" where it is right
	}{
		{Config{URL: "file:///var/lib/tidewatch"}, ""},
		{Config{URL: "s3://bucket/prefix/deep", Endpoint: "http://127.0.0.1:9000"}, ""},
		{Config{URL: "s3://bucket"}, ""},
		{Default("/data"), ""},
		{Config{}, "want file:///path or s3://bucket/prefix"},
		{Config{URL: "gs://bucket"}, `got scheme "gs"`},
		{Config{URL: "/var/lib"}, "want file:///path"},
		{Config{URL: "file://var/lib"}, "three slashes: file:///var/lib"},
		{Config{URL: "file:///"}, "the folder is missing"},
		{Config{URL: "s3://"}, "the bucket is missing"},
		{Config{URL: "s3://bucket/../x"}, "is not allowed"},
		{Config{URL: "s3://AKIA:topsecret@bucket/x"}, "credentials do not belong"},
		{Config{URL: "s3://b", Endpoint: "127.0.0.1:9000"}, "want http://host:port"},
		{Config{URL: "s3://b", Endpoint: "http://u:topsecret@h"}, "credentials do not belong"},
		{Config{URL: "s3://b", Endpoint: "http://h/bucket"}, "path or query"},
		{Config{URL: "s3://b", AccessKey: "a"}, "together or not at all"},
		{Config{URL: "s3://b", AccessKey: "a", AccessKeyFile: "f", SecretKey: "topsecret"}, "both access_key and access_key_file"},
	} {
		err := c.config.Validate()
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%v: %v", c.config, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%v: %v; want %q", c.config, err, c.says)
		case err != nil && strings.Contains(err.Error(), "topsecret"):
			t.Errorf("%v holds a credential", err)
		}
	}
}

func TestConfigHidesKeys(t *testing.T) {
	c := Config{URL: "s3://u:topsecret@b/p", AccessKey: "topsecret", SecretKey: "topsecret"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("open", "objects", c)
	if text := fmt.Sprintf("%v %s", c, log.String()); strings.Contains(text, "topsecret") {
		t.Fatal(text)
	}
}

func TestConfigReadsKeyFiles(t *testing.T) {
	dir := t.TempDir()
	access, secret := filepath.Join(dir, "access"), filepath.Join(dir, "secret")
	for file, content := range map[string]string{access: "AK\n", secret: " SK\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := Config{AccessKeyFile: access, SecretKeyFile: secret}.keys()
	if err != nil || keys != (keyPair{"AK", "SK"}) {
		t.Fatal(keys, err)
	}
	if _, err := (Config{AccessKeyFile: filepath.Join(dir, "none"), SecretKeyFile: secret}).keys(); err == nil || !strings.Contains(err.Error(), "access_key_file") {
		t.Fatal(err)
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"a", "a/b", "../a", "a//b", "", "a\x00"} {
		f.Add(key)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, key string) {
		if CheckKey(key) != nil {
			return
		}
		if !filepath.IsLocal(key) || filepath.Clean(filepath.Join(dir, key)) != dir+"/"+key {
			t.Fatalf("%q is accepted and leaves the folder", key)
		}
	})
}
