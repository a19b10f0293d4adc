package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// mostBytes is more than any jar of the release has.
const mostBytes = 64 << 20

// fetchJar answers the path of the jar in the cache, downloading it if it is not there. What is in the cache is checked
// again: it may be a shared folder.
func fetchJar(ctx context.Context, c Config, r release) (string, error) {
	path := filepath.Join(c.Cache, r.jar())
	if sum, err := hashFile(path); err == nil && sum == r.sha256 {
		return path, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read a fetched file: %w", err)
	}
	if err := os.MkdirAll(c.Cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder (%s names another): %w", EnvCache, err)
	}
	part, err := os.CreateTemp(c.Cache, ".part-*")
	if err != nil {
		return "", fmt.Errorf("make a file in the cache folder (%s names another): %w", EnvCache, err)
	}
	err = errors.Join(download(ctx, c, r, part), part.Sync(), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(part.Name()))
	}
	return path, nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// download writes the jar and checks its hash.
func download(ctx context.Context, c Config, r release, to io.Writer) error {
	base, err := url.Parse(c.Repository)
	if err != nil {
		return fmt.Errorf("check %s: it is not an address", EnvRepository)
	}
	address := base.JoinPath(r.address())
	c.Progress(fmt.Sprintf("downloading PostgreSQL %s from %s", releaseVersion, base.Redacted()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("download PostgreSQL: %w", err)
	}
	client := &http.Client{Transport: transport()}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("download PostgreSQL: %w", err) // the address in it has no password: net/http sees to that
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("download PostgreSQL from %s: the answer is %s", address.Redacted(), response.Status)
	}
	sum := sha256.New()
	body := &counter{Reader: io.LimitReader(response.Body, mostBytes), total: response.ContentLength, progress: c.Progress}
	if _, err := io.Copy(io.MultiWriter(to, sum), body); err != nil {
		return fmt.Errorf("download PostgreSQL from %s: %w", address.Redacted(), err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != r.sha256 {
		return fmt.Errorf("download PostgreSQL from %s: its SHA-256 is %s, not %s: it was damaged or changed on the way, nothing of it is used",
			address.Redacted(), got, r.sha256)
	}
	return nil
}

// transport gives up on a server that does not answer; a slow download may take its time.
func transport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
		ForceAttemptHTTP2: true,
	}
}

// counter tells how much of a download has come, in steps of a fifth.
type counter struct {
	io.Reader
	total, done int64
	told        int64
	progress    func(string)
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.done += int64(n)
	if c.total > 0 && c.done*5/c.total > c.told {
		c.told = c.done * 5 / c.total
		c.progress(fmt.Sprintf("downloading PostgreSQL: %d %% of %.0f MB", c.told*20, float64(c.total)/1e6))
	}
	return n, err
}
