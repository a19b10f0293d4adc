package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// build builds a revision in a folder of its own; "" is the working tree. It is built as make build does, so what was built
// before of what both import is not built again.
func build(ctx context.Context, revision, folder, output string) error {
	top, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	source := strings.TrimSpace(string(top))
	if revision != "" {
		if err := unpack(ctx, source, revision, folder); err != nil {
			return fmt.Errorf("unpack %s: %w", revision, err)
		}
		source = folder
	}
	// A folder without version control is not stamped; the working tree must not be either, or it would differ in that.
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", output, "./cmd/tidewatch")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", cmp.Or(revision, "the working tree"), err, out)
	}
	if revision != "" {
		return os.RemoveAll(folder)
	}
	return nil
}

// unpack puts the files of a revision into a folder.
func unpack(ctx context.Context, repository, revision, folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	archive := exec.CommandContext(ctx, "git", "-C", repository, "archive", "--format=tar", revision)
	tar := exec.CommandContext(ctx, "tar", "-x", "-C", folder)
	archive.Stderr, tar.Stderr = os.Stderr, os.Stderr
	var err error
	if tar.Stdin, err = archive.StdoutPipe(); err != nil {
		return err
	}
	if err := tar.Start(); err != nil {
		return err
	}
	return errors.Join(archive.Run(), tar.Wait())
}
