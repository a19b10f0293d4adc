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
const patience = 30 * time.Second

// settled is true when the page shows data, or why there is none, and has drawn it.
const settled = `document.querySelector('main') && !document.querySelector('.bones') && document.querySelector('main').innerText.length > 20`

// drawn waits until charts are painted: they follow the data by two frames.
const drawn = `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300))))`

type size struct {
	width, height int
}

func main() {
	server := flag.String("server", "http://127.0.0.1:8080", "where Tidewatch answers")
	out := flag.String("out", "docs/images", "folder of the pictures")
	only := flag.String("only", "", "take only those whose name has this part")
	full := flag.Bool("full", false, "the whole page, not one screen of it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *server, *out, *only, *full, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, server, out, only string, full bool, views []string) error {
	browser, err := chromium.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, browser.Close()) }()
	for _, s := range []size{{1440, 900}, {360, 740}} {
		for _, scheme := range []string{"light", "dark"} {
			for _, v := range views {
				name, path, ok := strings.Cut(v, "=")
				if !ok {
					return fmt.Errorf("%s: give NAME=PATH", v)
				}
				file := fmt.Sprintf("%s-%d-%s.png", name, s.width, scheme)
				if !strings.Contains(file, only) {
					continue
				}
				if err := take(ctx, browser, server+path, filepath.Join(out, file), s, scheme, full); err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
			}
		}
	}
	return nil
}

func take(ctx context.Context, b *chromium.Browser, address, file string, s size, scheme string, full bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	page, err := b.Page(ctx, s.width, s.height)
	if err != nil {
		return err
	}
	defer func() { _ = page.Close() }() // the browser closes it anyway
	if err := errors.Join(page.Scheme(ctx, scheme), page.Go(ctx, address), page.Wait(ctx, settled), page.Eval(ctx, drawn, nil)); err != nil {
		return err
	}
	if full {
		var height int
		if err := page.Eval(ctx, "Math.min(document.documentElement.scrollHeight, 4000)", &height); err != nil {
			return err
		}
		if err := errors.Join(page.Resize(ctx, s.width, max(height, s.height)), page.Eval(ctx, drawn, nil)); err != nil {
			return err
		}
	}
	for _, line := range page.Console() {
		fmt.Fprintln(os.Stderr, file, "console:", line)
	}
	picture, err := page.Picture(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(file, picture, 0o644) //nolint:gosec // a picture for all to see
}
