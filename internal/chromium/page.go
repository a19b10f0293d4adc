package chromium

import (
	"context"
	"encoding/json"
	"fmt"
)

// narrow is the width up to which a page is shown as on a telephone.
const narrow = 600

// Resize gives the tab a size in pixels of the style sheet.
func (p *Page) Resize(ctx context.Context, width, height int) error {
	return p.Call(ctx, "Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width <= narrow,
	}, nil)
}

// Scheme makes the system prefer light or dark.
func (p *Page) Scheme(ctx context.Context, scheme string) error {
	return p.Call(ctx, "Emulation.setEmulatedMedia", map[string]any{
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}},
	}, nil)
}

// Offline cuts the page's network, or gives it back. Connections that stand stay.
func (p *Page) Offline(ctx context.Context, off bool) error {
	return p.Call(ctx, "Network.emulateNetworkConditions", map[string]any{
		"offline": off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
	}, nil)
}

// Go loads an address.
func (p *Page) Go(ctx context.Context, address string) error {
	var r struct{ ErrorText string }
	if err := p.Call(ctx, "Page.navigate", map[string]any{"url": address}, &r); err != nil {
		return err
	}
	if r.ErrorText != "" {
		return fmt.Errorf("load %s: %s", address, r.ErrorText)
	}
	return nil
}

// Eval evaluates an expression in the page, a promise until it is kept, and reads its value as JSON; into may be nil.
func (p *Page) Eval(ctx context.Context, expression string, into any) error {
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := p.Call(ctx, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &r)
	if err != nil {
		return err
	}
	if e := r.ExceptionDetails; e != nil {
		return fmt.Errorf("evaluate %s: %s %s", expression, e.Text, e.Exception.Description)
	}
	if into == nil || r.Result.Value == nil {
		return nil
	}
	return json.Unmarshal(r.Result.Value, into)
}

// Wait waits until the expression is true, and says what was on the page if ctx ends first. It looks with each frame.
func (p *Page) Wait(ctx context.Context, expression string) error {
	script := fmt.Sprintf(`new Promise((done) => {
		const look = () => { let ok = false; try { ok = !!(%s); } catch (e) {} if (ok) done(true); else setTimeout(look, 20); };
		look();
	})`, expression)
	for {
		err := p.Eval(ctx, script, nil)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil { // another page was loaded meanwhile: look there
			if reloaded := p.Eval(ctx, "1", nil); reloaded == nil {
				continue
			}
		}
		var text string
		_ = p.Eval(context.WithoutCancel(ctx), "location.href + '\\n' + document.body.innerText.slice(0, 3000)", &text)
		return fmt.Errorf("wait for %s: %w; the page shows:\n%s\nconsole: %q", expression, err, text, p.Console())
	}
}

// Text types into what has the focus.
func (p *Page) Text(ctx context.Context, text string) error {
	return p.Call(ctx, "Input.insertText", map[string]any{"text": text}, nil)
}

// Key presses a key: a character, or a name such as Enter or Escape.
func (p *Page) Key(ctx context.Context, key string) error {
	codes := map[string]int{"Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40, "ArrowUp": 38}
	down := map[string]any{"type": "keyDown", "key": key, "windowsVirtualKeyCode": codes[key]}
	switch {
	case key == "Enter":
		down["text"] = "\r"
	case len(key) == 1:
		down["text"] = key
	}
	if err := p.Call(ctx, "Input.dispatchKeyEvent", down, nil); err != nil {
		return err
	}
	return p.Call(ctx, "Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": codes[key]}, nil)
}

// Point is a place in the window, in pixels of the style sheet.
type Point struct{ X, Y float64 }

// At is a place within the first element that the selector finds: 0, 0 is its upper left corner, 1, 1 the lower right one.
func (p *Page) At(ctx context.Context, selector string, x, y float64) (Point, error) {
	var r *struct{ X, Y, Width, Height float64 }
	quoted, err := json.Marshal(selector)
	if err != nil {
		return Point{}, err
	}
	script := fmt.Sprintf(`(() => { const e = document.querySelector(%s); if (!e) return null; e.scrollIntoView({block: 'center'});
		const r = e.getBoundingClientRect(); return {X: r.x, Y: r.y, Width: r.width, Height: r.height}; })()`, quoted)
	if err := p.Eval(ctx, script, &r); err != nil {
		return Point{}, err
	}
	if r == nil {
		return Point{}, fmt.Errorf("there is no %s", selector)
	}
	return Point{r.X + x*r.Width, r.Y + y*r.Height}, nil
}

// Move moves the mouse.
func (p *Page) Move(ctx context.Context, to Point) error {
	return p.mouse(ctx, "mouseMoved", to, "none")
}

// Click clicks into the middle of the first element that the selector finds.
func (p *Page) Click(ctx context.Context, selector string) error {
	at, err := p.At(ctx, selector, 0.5, 0.5)
	if err != nil {
		return err
	}
	return p.Drag(ctx, at, at)
}

// Drag presses the mouse at one place and lets it go at another.
func (p *Page) Drag(ctx context.Context, from, to Point) error {
	middle := Point{(from.X + to.X) / 2, (from.Y + to.Y) / 2}
	for _, step := range []struct {
		kind, button string
		at           Point
	}{{"mouseMoved", "none", from}, {"mousePressed", "left", from}, {"mouseMoved", "left", middle}, {"mouseMoved", "left", to}, {"mouseReleased", "left", to}} {
		if err := p.mouse(ctx, step.kind, step.at, step.button); err != nil {
			return err
		}
	}
	return nil
}

func (p *Page) mouse(ctx context.Context, kind string, at Point, button string) error {
	return p.Call(ctx, "Input.dispatchMouseEvent", map[string]any{
		"type": kind, "x": at.X, "y": at.Y, "button": button, "clickCount": 1, "buttons": pressed(kind, button),
	}, nil)
}

func pressed(kind, button string) int {
	if button == "left" && kind != "mouseReleased" {
		return 1
	}
	return 0
}

// Picture is the window as PNG.
func (p *Page) Picture(ctx context.Context) ([]byte, error) {
	var r struct{ Data []byte }
	err := p.Call(ctx, "Page.captureScreenshot", map[string]any{"format": "png", "optimizeForSpeed": false}, &r)
	return r.Data, err
}
