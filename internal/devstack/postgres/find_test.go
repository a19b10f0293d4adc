package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	cases := []struct {
		text, version string
		major         int
	}{
		{"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15.18", 15},
		{"postgres (PostgreSQL) 18.4", "18.4", 18},
		{"postgres (PostgreSQL) 19beta1", "19beta1", 19},
		{"postgres (PostgreSQL) 9.6.24", "9.6.24", 9},
		{"postgres (EnterpriseDB) 15.1", "", 0},
		{"postgres (PostgreSQL) 99999999999999999999", "", 0},
		{"", "", 0},
	}
	for _, c := range cases {
		if version, major := parseVersion(c.text); version != c.version || major != c.major {
			t.Errorf("%q: %q, %d; want %q, %d", c.text, version, major, c.version, c.major)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("postgres (PostgreSQL) 15.18 (Debian)")
	f.Fuzz(func(t *testing.T, text string) {
		version, major := parseVersion(text)
		if (version == "") != (major == 0) && !strings.HasPrefix(version, "0") || major < 0 {
			t.Errorf("%q: %q, %d", text, version, major)
		}
	})
}

// place makes programs that say they are of a version. An empty one makes a folder without a server.
func place(t *testing.T, dir, version string) {
	t.Helper()
	script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "initdb"), []byte(script), 0o755))
	if version != "" {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "postgres"), []byte(script), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheNewestLocalIsTaken(t *testing.T) {
	root := t.TempDir()
	for dir, version := range map[string]string{"9.6/bin": "9.6.2", "15/bin": "15.18", "17/bin": "17.2", "18/bin": "", "odd/bin": "nonsense"} {
		place(t, filepath.Join(root, dir), version)
	}
	place(t, filepath.Join(root, "mine"), "17.1")
	found, err := local(t.Context(), []string{filepath.Join(root, "mine"), filepath.Join(root, "*/bin")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found {
		got = append(got, p.version)
	}
	if want := "17.1 17.2 15.18"; strings.Join(got, " ") != want {
		t.Errorf("found %q, want %s", got, want)
	}
}

func TestWhyNoLocalIsFit(t *testing.T) {
	root := t.TempDir()
	if found, err := local(t.Context(), []string{filepath.Join(root, "*/bin")}, nil); len(found) > 0 || err != nil {
		t.Errorf("an empty machine: %v, %v", found, err)
	}
	place(t, filepath.Join(root, "9/bin"), "9.6.2")
	place(t, filepath.Join(root, "odd/bin"), "nonsense")
	_, err := local(t.Context(), []string{filepath.Join(root, "*/bin")}, nil)
	for _, want := range []string{"has version 9.6.2", "14 is the oldest", `"postgres (PostgreSQL) nonsense" is none`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if _, err := local(t.Context(), []string{"["}, nil); err == nil {
		t.Error("a malformed pattern was accepted")
	}
}

func TestChooseByTheClustersVersion(t *testing.T) {
	root := t.TempDir()
	place(t, filepath.Join(root, "15"), "15.18")
	place(t, filepath.Join(root, "17"), "17.2")
	c := config(t)
	c.Local = []string{filepath.Join(root, "*")}
	for major, want := range map[int]string{0: "17.2", 15: "15.18", 17: "17.2"} {
		if p, err := choose(t.Context(), c, nil, major); err != nil || p.version != want {
			t.Errorf("for a cluster of %d: %v, %v; want %s", major, p, err, want)
		}
	}
	_, err := choose(t.Context(), c, nil, 16)
	want := fmt.Sprintf("was made by version 16, and this machine has 17.2 in %s/17, 15.18 in %s/15: install version 16", root, root)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("for a cluster of 16: %v; want %s", err, want)
	}
	_, err = choose(t.Context(), c, nil, releaseMajor) // is fetched, which fails here
	for _, want := range []string{"127.0.0.1:1", "install PostgreSQL (Debian: postgresql)", EnvRepository} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("for a cluster of %d: %v, want %q in it", releaseMajor, err, want)
		}
	}
}

func TestConfig(t *testing.T) {
	if err := (Config{Repository: "ftp://x"}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three mistakes: %v", err)
	}
	c := config(t)
	c.Repository, c.Cache = "", ""
	t.Setenv(EnvRepository, "")
	t.Setenv(EnvCache, "")
	t.Setenv("XDG_CACHE_HOME", "/var/somewhere")
	filled, err := c.filled()
	if err != nil || filled.Repository != MavenCentral || filled.Cache != "/var/somewhere/tidewatch" {
		t.Errorf("defaults: %v, %v", filled, err)
	}
	t.Setenv(EnvRepository, "https://mirror.example/maven")
	t.Setenv(EnvCache, "/elsewhere")
	filled, err = c.filled()
	if err != nil || filled.Repository != "https://mirror.example/maven" || filled.Cache != "/elsewhere" {
		t.Errorf("from the environment: %v, %v", filled, err)
	}
	t.Setenv(EnvRepository, "mirror")
	if _, err := c.filled(); err == nil {
		t.Error("an address without a scheme was accepted")
	}
}

func TestReleases(t *testing.T) {
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		goos, arch, _ := strings.Cut(platform, "/")
		r, err := releaseFor(goos, arch)
		if err != nil || len(r.sha256) != 64 || !strings.HasPrefix(r.address(), "io/zonky/test/postgres/"+r.artifact+"/18.4.0/") {
			t.Errorf("%s: %v, %v", platform, r, err)
		}
	}
	if _, err := releaseFor("plan9", "mips"); err == nil {
		t.Error("there is a release for plan9")
	}
	if !strings.HasPrefix(releaseVersion, fmt.Sprint(releaseMajor, ".")) {
		t.Errorf("version %s is not of major %d", releaseVersion, releaseMajor)
	}
}

func TestACancelledStart(t *testing.T) {
	t.Parallel()
	needLocal(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Start(ctx, config(t)); err == nil {
		t.Error(errors.Join(errors.New("it started"), s.Close()))
	}
}
