package page

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewatch/tidewatch/internal/chromium"
)

// patience is how long a step in the browser may take on a busy machine.
const patience = 120 * time.Second

// browser starts one Chromium for all tests. It is a package variable since tests have no other place to share it; TestMain
// closes it.
var browser = sync.OnceValues(func() (*chromium.Browser, error) { return chromium.Start(context.Background()) })

// started notes whether there is something to close.
var started bool

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	code := m.Run()
	if !started {
		return code
	}
	b, err := browser()
	if err == nil {
		err = b.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "close Chromium:", err)
		return max(code, 1)
	}
	return code
}

// tab is a page in the browser. Its methods end the test if something goes wrong.
type tab struct {
	*chromium.Page
	t    *testing.T
	ctx  context.Context // of the test, as t.Context
	base string
}

func open(t *testing.T, base, path string, width, height int) *tab {
	t.Helper()
	if testing.Short() {
		t.Skip("no browser in short mode")
	}
	if _, err := chromium.Find(); err != nil {
		need(t, "chromium", err.Error())
	}
	started = true
	b, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	p, err := b.Page(ctx, width, height)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = p.Close() })
	tb := &tab{Page: p, t: t, ctx: ctx, base: base}
	tb.load(path)
	return tb
}

func (b *tab) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) load(path string) {
	b.t.Helper()
	b.must(b.Go(b.ctx, b.base+path))
	b.wait(`document.querySelector('main') && !document.querySelector('.bones')`)
}

func (b *tab) wait(expression string) {
	b.t.Helper()
	b.must(b.Wait(b.ctx, expression))
}

// sees waits until the page shows the words, apart from capitals.
func (b *tab) sees(words string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("document.body.innerText.toLowerCase().includes(%q)", strings.ToLower(words)))
}

func (b *tab) eval(expression string, into any) {
	b.t.Helper()
	b.must(b.Eval(b.ctx, expression, into))
}

func (b *tab) text(expression string) (s string) {
	b.t.Helper()
	b.eval(expression, &s)
	return s
}

func (b *tab) keys(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.must(b.Key(b.ctx, k))
	}
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.must(b.Click(b.ctx, selector))
}

func (b *tab) drag(selector string, x1, x2 float64) {
	b.t.Helper()
	from, err1 := b.At(b.ctx, selector, x1, 0.5)
	to, err2 := b.At(b.ctx, selector, x2, 0.5)
	b.must(errors.Join(err1, err2, b.Drag(b.ctx, from, to)))
}

// clean reports what the page complained about, and every address that it asked which is not its server's.
func (b *tab) clean() {
	b.t.Helper()
	for _, line := range b.Console() {
		b.t.Errorf("console: %s", line)
	}
	_, host, _ := strings.Cut(b.base, "://")
	for _, r := range b.Requests() {
		if !strings.HasPrefix(r, b.base+"/") && !strings.HasPrefix(r, "ws://"+host+"/") && !strings.HasPrefix(r, "data:") {
			b.t.Errorf("the page asked %s", r)
		}
	}
}
