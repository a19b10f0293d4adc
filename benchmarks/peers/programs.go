package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

//go:embed java python pipelines
var files embed.FS

// javaClasses gets the jars of a job into the cache, checks them, and compiles the job. The answer is its class path.
func javaClasses(ctx context.Context, java, cache, dir, job string) (string, error) {
	jars, err := fetchJars(ctx, cache, job)
	if err != nil {
		return "", err
	}
	sources, err := unpack(dir, "java", "java/"+job)
	if err != nil {
		return "", err
	}
	sources = slices.DeleteFunc(sources, func(s string) bool { return filepath.Ext(s) != ".java" })
	classes := filepath.Join(dir, "classes-"+job)
	// The compiler as a module of Java: Debian's runtime has it too, so that no development kit is needed.
	args := append([]string{"-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", strings.Join(jars, ":"), "-d", classes}, sources...)
	if err := execute(ctx, "compile the job of "+job+" (if Java has no module jdk.compiler: Debian's default-jdk-headless)", java, args...); err != nil {
		return "", err
	}
	return classes + ":" + strings.Join(jars, ":"), nil
}

// fetchJars has Maven collect the jars that the pom names, unless they are there, and compares them with the checksums.
func fetchJars(ctx context.Context, cache, job string) ([]string, error) {
	pom, err := files.ReadFile("java/" + job + "/pom.xml")
	if err != nil {
		return nil, fmt.Errorf("there is no job %s: %w", job, err)
	}
	sums, err := files.ReadFile("java/" + job + "/jars.sum")
	if err != nil {
		return nil, fmt.Errorf("there are no checksums of %s: %w", job, err)
	}
	final := filepath.Join(cache, "peers-"+job+"-"+short(pom, sums))
	if _, err := os.Stat(final); err == nil {
		return checkJars(final, sums)
	}
	bed.Progress("Maven downloads the jars of %s", job)
	err = build(cache, final, func(part string) error {
		file := filepath.Join(part, "pom.xml")
		if err := os.WriteFile(file, pom, 0o600); err != nil {
			return err
		}
		if err := execute(ctx, "get the jars of "+job+" (Debian: apt-get install maven)", "mvn", "-B", "-q", "-f", file,
			"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+part); err != nil {
			return err
		}
		_, err := checkJars(part, sums)
		return err
	})
	if err != nil {
		return nil, err
	}
	return checkJars(final, sums)
}

// checkJars compares every jar of the folder with the list, which has a checksum (SHA-256) and a name in each line.
func checkJars(dir string, sums []byte) (jars []string, err error) {
	want := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(sums)); lines.Scan(); {
		sum, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			return nil, fmt.Errorf("read checksums: %q is not a sum and a name", lines.Text())
		}
		want[name] = sum
	}
	have, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil {
		return nil, err
	}
	if len(have) != len(want) {
		return nil, fmt.Errorf("check the jars in %s: there are %d, and %d are listed", dir, len(have), len(want))
	}
	for _, path := range have {
		sum, err := sumOf(path)
		if err != nil {
			return nil, err
		}
		if name := filepath.Base(path); want[name] != sum {
			return nil, fmt.Errorf("check %s: SHA-256 is %s, listed is %q; remove the folder to fetch it again", path, sum, want[name])
		}
	}
	return have, nil
}

func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// pythonFor makes a virtual environment with the packages of the Python jobs, unless it is there. It cannot be moved, since its
// scripts hold its path; so the list by which it is found is written last.
func pythonFor(ctx context.Context, cache string) (string, error) {
	wanted, err := files.ReadFile("python/requirements.txt")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "peers-python-"+short(wanted))
	python, mark := filepath.Join(dir, "bin/python"), filepath.Join(dir, "complete")
	if _, err := os.Stat(mark); err == nil {
		return python, nil
	}
	bed.Progress("pip installs the packages of the Python jobs")
	if err := execute(ctx, "make a virtual environment (Debian: apt-get install python3-venv)", "python3", "-m", "venv", dir); err != nil {
		return "", err
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, wanted, 0o600); err != nil {
		return "", err
	}
	if err := execute(ctx, "get the Python packages", python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", list); err != nil {
		return "", err
	}
	return python, os.WriteFile(mark, nil, 0o600)
}

// build runs fill on an empty folder, which takes its final name only when it is complete.
func build(cache, final string, fill func(dir string) error) error {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cache, ".part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := fill(dir); err != nil {
		return err
	}
	if err := os.Rename(dir, final); err != nil && !errors.Is(err, fs.ErrExist) { // another process may have been faster
		return fmt.Errorf("put the download in place: %w", err)
	}
	return nil
}

// unpack writes the files of embedded folders into dir, all of them side by side, and answers their paths.
func unpack(dir string, folders ...string) (paths []string, err error) {
	for _, folder := range folders {
		entries, err := files.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			text, err := files.ReadFile(folder + "/" + e.Name())
			if err != nil {
				return nil, err
			}
			path := filepath.Join(dir, e.Name())
			if err := os.WriteFile(path, text, 0o600); err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// execute runs a program to its end.
func execute(ctx context.Context, what, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, lastLines(string(out), 15))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// short is part of a hash, for names of folders.
func short(texts ...[]byte) string {
	sum := sha256.Sum256(bytes.Join(texts, nil))
	return hex.EncodeToString(sum[:4])
}

// findJava and its version.
func findJava(ctx context.Context) (java, version string, err error) {
	if java, err = testservers.FindJava(); err != nil {
		return "", "", err
	}
	out, err := exec.CommandContext(ctx, java, "--version").Output()
	if err != nil {
		return "", "", fmt.Errorf("ask %s for its version: %w", java, err)
	}
	version, _, _ = strings.Cut(string(out), "\n")
	return java, version, nil
}
