package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tidewatch/tidewatch/internal/chromium"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

// What the tests of the web page need.

func findChromium(string) (string, error) { return chromium.Find() }

// getChromium installs Debian's package: unpacked elsewhere it does not find its own parts.
func getChromium(ctx context.Context, f *fetcher) error {
	return f.needPrograms(ctx, testservers.NameChromium, map[string]string{"chromium": "chromium"})
}

// web is where the page's source lies, from the root of the project, where this runs.
const web = "web"

// findPackages finds what `npm ci` has written last.
func findPackages(string) (string, error) {
	path := filepath.Join(web, "node_modules")
	if _, err := os.Stat(filepath.Join(path, ".package-lock.json")); err != nil {
		return "", fmt.Errorf("find the packages of the page: %w", err)
	}
	return path, nil
}

func getPackages(ctx context.Context, f *fetcher) error {
	if err := f.needPrograms(ctx, testservers.NameNPM, map[string]string{"npm": "npm"}); err != nil {
		return err
	}
	_, err := f.run(ctx, command{
		what: "npm: downloading what the page is built with", dir: web,
		args: []string{"npm", "ci", "--no-audit", "--no-fund", "--engine-strict"},
	})
	return err
}
