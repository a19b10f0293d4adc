// Command pictures takes pictures of the page of a running Tidewatch, wide and narrow, light and dark, for docs/images.
//
//	go run ./internal/chromium/pictures -server http://127.0.0.1:8080 -out docs/images home=/ hosts=/hosts
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidewatch/tidewatch/internal/chromium"
)

// patience is how long a page may take until nothing in it loads any more.
const patience = 60 * time.Second

// settled is true when the page shows data, or why there is none, and has drawn it.
const settled = `document.querySelector('main') && !document.querySelector('.bones') && document.querySelector('main').innerText.length > 20`

// drawn waits until charts are painted: they follow the data by two frames.
const drawn = `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300))))`

// album says which pictures to take of what.
type album struct {
	server string
	out    string // folder
	only   string // part of the names of those that are taken; empty takes all
	full   bool   // the whole page, not one screen of it
	views  []string
}

// picture is one to take.
type picture struct {
	address, file, scheme string
	width, height         int
	full                  bool
}

func main() {
	var a album
	flag.StringVar(&a.server, "server", "http://127.0.0.1:8080", "where Tidewatch answers")
	flag.StringVar(&a.out, "out", "docs/images", "folder of the pictures")
	flag.StringVar(&a.only, "only", "", "take only those whose name has this part")
	flag.BoolVar(&a.full, "full", false, "the whole page, not one screen of it")
	flag.Parse()
	a.views = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := a.take(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// list is what there is to take: each view in both sizes and themes.
func (a *album) list() (all []picture, err error) {
	for _, v := range a.views {
		name, path, ok := strings.Cut(v, "=")
		if !ok {
			return nil, fmt.Errorf("%s: give NAME=PATH", v)
		}
		for _, p := range []picture{{width: 1440, height: 900}, {width: 360, height: 740}} {
			for _, p.scheme = range []string{"light", "dark"} {
				file := fmt.Sprintf("%s-%d-%s.png", name, p.width, p.scheme)
				p.address, p.file, p.full = a.server+path, filepath.Join(a.out, file), a.full
				if strings.Contains(file, a.only) {
					all = append(all, p)
				}
			}
		}
	}
	return all, nil
}

func (a *album) take(ctx context.Context) (err error) {
	all, err := a.list()
	if err != nil {
		return err
	}
	browser, err := chromium.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, browser.Close()) }()
	for _, p := range all {
		if err := p.take(ctx, browser); err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
	}
	return nil
}

func (p *picture) take(ctx context.Context, b *chromium.Browser) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	page, err := b.Page(ctx, p.width, p.height)
	if err != nil {
		return err
	}
	defer func() { _ = page.Close() }() // the browser closes it anyway
	if err := errors.Join(page.Scheme(ctx, p.scheme), page.Go(ctx, p.address), page.Wait(ctx, settled), page.Eval(ctx, drawn, nil)); err != nil {
		return err
	}
	if p.full {
		if err := p.stretch(ctx, page); err != nil {
			return err
		}
	}
	for _, line := range page.Console() {
		fmt.Fprintln(os.Stderr, p.file, "console:", line)
	}
	data, err := page.Picture(ctx)
	if err == nil {
		data, err = small(data)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(p.file, data, 0o644) //nolint:gosec // a picture for all to see
}

// tallest is what a picture of a whole page may measure.
const tallest = 4000

// stretch makes the window as tall as the page.
func (p *picture) stretch(ctx context.Context, page *chromium.Page) error {
	var height int
	if err := page.Eval(ctx, "document.documentElement.scrollHeight", &height); err != nil {
		return err
	}
	return errors.Join(page.Resize(ctx, p.width, min(max(height, p.height), tallest)), page.Eval(ctx, drawn, nil))
}
