package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

func getRedis(ctx context.Context, f *fetcher) error {
	return f.debian(ctx, testservers.NameRedis, "redis-server")
}

func getPostgres(ctx context.Context, f *fetcher) error {
	return f.debian(ctx, testservers.NamePostgres, "postgresql")
}

// debian unpacks a package, and what it needs and the system lacks, into the cache folder. Nothing is installed; only where
// that does not work, and if it is allowed, the package is installed.
func (f *fetcher) debian(ctx context.Context, name, pkg string) error {
	if err := needApt(pkg); err != nil {
		return err
	}
	err := f.build(testservers.Place(f.cache, name), func(dir string) error { return f.unpack(ctx, name, pkg, dir) })
	if err != nil && f.install {
		f.say("%s: unpacking failed, installing: %v", name, err)
		return f.aptInstall(ctx, name, pkg)
	}
	return err
}

func needApt(pkg string) error {
	for _, program := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("no %s here (not Debian): install %s with the system's own package manager", program, pkg)
		}
	}
	return nil
}

// unpack tries the system's package lists first. They may be missing or old, and only root may renew them: then it makes
// lists of its own in the cache folder.
func (f *fetcher) unpack(ctx context.Context, name, pkg, dir string) error {
	err := f.unpackWith(ctx, nil, name, pkg, dir)
	if err == nil || ctx.Err() != nil {
		return err
	}
	options, listErr := f.ownLists(ctx, name)
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	return f.unpackWith(ctx, options, name, pkg, dir)
}

// ownLists is `apt-get update` into the cache folder, which needs no rights.
func (f *fetcher) ownLists(ctx context.Context, name string) ([]string, error) {
	lists, archives := filepath.Join(f.cache, "apt/lists"), filepath.Join(f.cache, "apt/cache")
	for _, dir := range []string{filepath.Join(lists, "partial"), filepath.Join(archives, "archives/partial")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make a folder for package lists: %w", err)
		}
	}
	// The sandbox user is "the one we are": _apt cannot write into our folder.
	options := []string{"-o", "Dir::State::Lists=" + lists, "-o", "Dir::Cache=" + archives, "-o", "APT::Sandbox::User=root"}
	_, err := f.run(ctx, command{
		what: name + ": reading Debian's package lists", args: append(append([]string{"apt-get"}, options...), "-q", "update"),
	})
	return options, err
}

func (f *fetcher) unpackWith(ctx context.Context, options []string, name, pkg, dir string) error {
	packages, err := f.needed(ctx, options, name, pkg)
	if err != nil {
		return err
	}
	debs := filepath.Join(dir, "debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return fmt.Errorf("make a folder for packages: %w", err)
	}
	args := append(append([]string{"apt-get"}, options...), "-q", "-o", "APT::Sandbox::User=root", "download")
	if _, err := f.run(ctx, command{
		what: fmt.Sprintf("%s: downloading %d Debian packages", name, len(packages)), dir: debs, args: append(args, packages...),
	}); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return fmt.Errorf("list the packages: %w", err)
	}
	for _, file := range files {
		if _, err := f.run(ctx, command{args: []string{"dpkg-deb", "-x", file, dir}}); err != nil {
			return err
		}
	}
	return os.RemoveAll(debs)
}

// needed asks apt what it would install. "postgresql" stands for whatever version the system has.
func (f *fetcher) needed(ctx context.Context, options []string, name, pkg string) ([]string, error) {
	args := append(append([]string{"apt-get"}, options...), "-q", "--simulate", "--no-install-recommends", "install", pkg)
	out, err := f.run(ctx, command{what: name + ": asking apt what " + pkg + " needs", env: []string{"LC_ALL=C"}, args: args})
	if err != nil {
		return nil, err
	}
	packages := parseSimulation(out)
	if len(packages) == 0 { // installed, but its programs are not where they belong
		packages = []string{pkg}
	}
	return packages, nil
}

// parseSimulation picks the package names from lines such as "Inst libpq5 (15.8-0 Debian:12 [amd64])". Left out is what
// only serves installing and just-in-time compiling: Perl, and 100 MB of LLVM.
func parseSimulation(out string) []string {
	var packages []string
	for scanner := bufio.NewScanner(strings.NewReader(out)); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 2 || fields[0] != "Inst" {
			continue
		}
		unused := slices.ContainsFunc([]string{"libllvm", "perl", "libperl"}, func(prefix string) bool { return strings.HasPrefix(fields[1], prefix) })
		if !unused {
			packages = append(packages, fields[1])
		}
	}
	return packages
}

// aptInstall installs packages system-wide. The run level keeps their scripts from starting services.
func (f *fetcher) aptInstall(ctx context.Context, name string, packages ...string) error {
	env := []string{"DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"}
	install := command{
		what: name + ": installing " + strings.Join(packages, ", "), env: env,
		args: append([]string{"apt-get", "-q", "-y", "--no-install-recommends", "install"}, packages...),
	}
	if _, err := f.run(ctx, install); err == nil || ctx.Err() != nil {
		return err
	}
	if _, err := f.run(ctx, command{what: name + ": reading Debian's package lists", env: env, args: []string{"apt-get", "-q", "update"}}); err != nil {
		return err
	}
	_, err := f.run(ctx, install)
	return err
}
