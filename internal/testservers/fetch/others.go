package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tidewatch/tidewatch/internal/testservers"
)

func findKafka(cache string) (string, error) {
	if _, err := testservers.FindJava(); err != nil {
		return "", err
	}
	jars, err := testservers.FindKafka(cache)
	return filepath.Dir(jars), err
}

// getKafka has Maven collect the broker's jars.
func getKafka(ctx context.Context, f *fetcher) error {
	if err := f.needPrograms(ctx, testservers.NameKafka, map[string]string{"java": "default-jre-headless", "mvn": "maven"}); err != nil {
		return err
	}
	final := testservers.Place(f.cache, testservers.NameKafka)
	if _, err := testservers.FindKafka(f.cache); err == nil {
		return nil // only Java was missing
	}
	return f.build(final, func(dir string) error {
		pom := filepath.Join(dir, "pom.xml")
		if err := os.WriteFile(pom, testservers.KafkaPOM, 0o600); err != nil {
			return fmt.Errorf("write the pom: %w", err)
		}
		_, err := f.run(ctx, command{
			what: "kafka: Maven downloads the jars of Kafka " + testservers.KafkaVersion,
			args: []string{"mvn", "-B", "-q", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=" + dir},
		})
		return err
	})
}

// needPrograms looks for programs and installs the Debian packages of those that are missing, if that is allowed.
func (f *fetcher) needPrograms(ctx context.Context, name string, packages map[string]string) error {
	var programs, wanted []string
	for _, program := range []string{"java", "mvn", "python3", "chromium", "npm"} { // in this order, not the map's
		if pkg := packages[program]; pkg != "" {
			if _, err := exec.LookPath(program); err != nil {
				programs, wanted = append(programs, program), append(wanted, pkg)
			}
		}
	}
	if len(programs) == 0 {
		return nil
	}
	if f.install {
		return f.aptInstall(ctx, name, wanted...)
	}
	return fmt.Errorf("%s not in PATH: install (Debian: apt-get install %s), or run as root with TIDEWATCH_TEST_INSTALL=1",
		strings.Join(programs, " and "), strings.Join(wanted, " "))
}

// getS3 builds the S3 server from its source.
func getS3(ctx context.Context, f *fetcher) error {
	return f.build(testservers.Place(f.cache, testservers.NameS3), func(dir string) error {
		_, err := f.run(ctx, command{
			what: "s3: building versitygw " + testservers.VersitygwVersion + " (about two minutes)",
			dir:  dir, // outside of our module: its go.mod has no say
			env:  []string{"GOBIN=" + dir, "GOWORK=off"},
			args: []string{"go", "install", "github.com/versity/versitygw/cmd/versitygw@" + testservers.VersitygwVersion},
		})
		return err
	})
}

// getPython makes a virtual environment. It cannot be built elsewhere and moved: its scripts hold its path. So the list of
// requirements, by which it is found, is written last.
func getPython(ctx context.Context, f *fetcher) error {
	final := testservers.Place(f.cache, testservers.NamePython)
	if err := f.makeEnvironment(ctx, final); err != nil {
		return err
	}
	wanted := filepath.Join(final, "wanted.txt")
	if err := os.WriteFile(wanted, testservers.Requirements, 0o600); err != nil {
		return fmt.Errorf("write the list of Python packages: %w", err)
	}
	if _, err := f.run(ctx, command{
		what: "python: pip installs " + strings.Join(strings.Fields(string(testservers.Requirements)), ", "),
		args: []string{filepath.Join(final, "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", wanted},
	}); err != nil {
		return err
	}
	if err := os.Rename(wanted, filepath.Join(final, "requirements.txt")); err != nil {
		return fmt.Errorf("mark the Python environment as complete: %w", err)
	}
	return nil
}

// makeEnvironment runs venv. Debian ships it apart from Python, so "python3 is there" proves nothing.
func (f *fetcher) makeEnvironment(ctx context.Context, dir string) error {
	if err := f.needPrograms(ctx, testservers.NamePython, map[string]string{"python3": "python3-venv"}); err != nil {
		return err
	}
	venv := command{what: "python: making a virtual environment", args: []string{"python3", "-m", "venv", dir}}
	_, err := f.run(ctx, venv)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if !f.install {
		return fmt.Errorf("%w\ninstall venv (Debian: apt-get install python3-venv), or run as root with TIDEWATCH_TEST_INSTALL=1", err)
	}
	if err := f.aptInstall(ctx, testservers.NamePython, "python3-venv"); err != nil {
		return err
	}
	_, err = f.run(ctx, venv)
	return err
}
