package chromium

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNotInstalled says that no Chromium was found.
var ErrNotInstalled = errors.New("no Chromium is installed: install Debian's package chromium, or name a binary in TIDEWATCH_CHROMIUM")

// Find returns the path of a Chromium: TIDEWATCH_CHROMIUM if it is set, else the first of the usual names.
func Find() (string, error) {
	if named := os.Getenv("TIDEWATCH_CHROMIUM"); named != "" {
		return exec.LookPath(named)
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", ErrNotInstalled
}

// Browser is a running Chromium with a profile of its own. Close it.
type Browser struct {
	cmd     *exec.Cmd
	folder  string
	address string // of the browser's WebSocket
}

// Start starts a Chromium that ends with Close or when ctx is done.
func Start(ctx context.Context) (*Browser, error) {
	binary, err := Find()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "tidewatch-chromium-")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "--headless", "--no-first-run", "--no-default-browser-check", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-sandbox", // it opens pages of our own server only; as root, in containers, there is no sandbox to have
		"--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-port=0", "--user-data-dir="+folder, "about:blank")
	cmd.Env = append(os.Environ(), "TZ=UTC", "HOME="+folder)
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start Chromium: %w", err), os.RemoveAll(folder))
	}
	b := &Browser{cmd: cmd, folder: folder}
	if b.address, err = listening(stderr); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }() // ends with the process; a full pipe would stop it
	return b, nil
}

// listening reads where the browser listens.
func listening(r io.Reader) (string, error) {
	lines := bufio.NewScanner(r)
	var said []string
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "DevTools listening on "); ok {
			return strings.TrimSpace(address), nil
		}
		said = append(said, lines.Text())
	}
	return "", fmt.Errorf("start Chromium: it ended before it listened: %s", strings.Join(said[max(len(said)-3, 0):], "; "))
}

// Process is the id of the browser, whose children do most of its work.
func (b *Browser) Process() int { return b.cmd.Process.Pid }

// Close stops the browser and removes its profile.
func (b *Browser) Close() error {
	_ = b.cmd.Process.Kill() // it may have ended already
	_ = b.cmd.Wait()         // killed: an error by design
	var err error
	for range 50 { // helpers of the browser write into the folder until they notice
		if err = os.RemoveAll(filepath.Clean(b.folder)); err == nil {
			return nil
		}
	}
	return err
}
