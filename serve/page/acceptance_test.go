package page

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/chromium"
	"github.com/tidewatch/tidewatch/internal/testservers"
)

// TestAgainstTidewatch drives the page of a real `tidewatch up`: hosts and logins of the demo move, an attack is found, its
// evidence read from the log, and the alert acknowledged so that the worker knows.
func TestAgainstTidewatch(t *testing.T) {
	if testing.Short() {
		t.Skip("no servers in short mode")
	}
	if _, err := chromium.Find(); err != nil {
		need(t, "chromium", err.Error())
	}
	base := up(t, testservers.Postgres(t))
	b := open(t, base, "/", 1440, 900)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 4*time.Minute)
	defer cancel()
	b.ctx = ctx

	b.sees("Live")
	b.wait(`/Everything up to .* is final/.test(document.body.innerText)`)
	b.wait(`document.querySelectorAll('.plot canvas').length === 2 && document.querySelectorAll('.legend b').length > 4`)

	b.load("/hosts")
	b.wait(`document.querySelectorAll('tbody tr').length > 10`)
	b.click(`tbody a`)
	b.wait(`location.pathname.startsWith('/hosts/') && document.querySelectorAll('.legend b').length >= 4`)

	b.load("/security")
	b.wait(`[...document.querySelectorAll('button.toggle')].some((e) => e.innerText.includes('BruteForce'))`)
	b.wait(`[...document.querySelectorAll('section[aria-label=Sources] tbody tr')].length > 3`)
	b.eval(`[...document.querySelectorAll('button.toggle')].find((e) => e.innerText.includes('BruteForce')).click()`, nil)
	b.wait(`document.querySelectorAll('.evidence td').length > 4 && !!document.querySelector('.evidence td.failure')`)

	b.load("/alerts?state=firing")
	b.wait(`document.querySelectorAll('[data-alert]').length > 0`)
	b.keys("j", "a")
	b.wait(`document.activeElement.id === 'note'`)
	b.must(b.Text(b.ctx, "found by the acceptance test"))
	b.wait(`document.querySelector('.facts code')`) // the rule has come: nothing moves any more
	b.click(`.ack .button.primary`)
	b.wait(`document.querySelector('blockquote')?.innerText === 'found by the acceptance test'`)
	b.wait(`!document.querySelector('.taken').innerText.includes('about to be shown')`) // the worker has folded it in

	b.load("/pipelines/authentication")
	b.wait(`document.querySelectorAll('g.node').length > 4`)
	b.load("/pipelines?tab=ledger")
	b.sees("offsets are accounted for")
	b.clean()
}

// up starts the product in an empty folder and answers the address of its page.
func up(t *testing.T, dsn string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tidewatch")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/tidewatch").CombinedOutput(); err != nil {
		t.Fatalf("build tidewatch: %v\n%s", err, text)
	}
	listen, kafka := free(t), free(t)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "up", "--data-dir", t.TempDir(), "--postgres", dsn, "--listen", listen, "--kafka-listen", kafka)
	var said bytes.Buffer
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() { // ends with the process
		defer close(drained)
		_, _ = io.Copy(&said, bufio.NewReader(out))
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-drained
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("tidewatch up ended with %v and said last:\n%s", err, said.Bytes()[max(said.Len()-4000, 0):])
		}
	})
	base := "http://" + listen
	answers(t, base+"/readyz", drained)
	return base
}

// answers waits until the address answers 200; each attempt waits for the connection.
func answers(t *testing.T, address string, ended <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case <-ended:
			t.Fatal("tidewatch up has ended")
		case <-deadline:
			t.Fatalf("%s does not answer", address)
		case <-tick.C:
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := http.DefaultClient.Do(r); err == nil {
			_ = a.Body.Close()
			if a.StatusCode == http.StatusOK {
				return
			}
		}
	}
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
