package chromium

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/coder/websocket"
)

// largestMessage is room for a picture of a long page.
const largestMessage = 64 << 20

// message is one of the DevTools protocol: a call, its result, or an event.
type message struct {
	ID        int64           `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Page is a tab. Its methods may be called from one goroutine at a time.
type Page struct {
	conn    *websocket.Conn
	session string
	next    int64
	done    chan struct{} // closed when the reader has ended

	mu struct {
		sync.Mutex
		waiting  map[int64]chan message
		requests []string
		console  []string
	}
}

// Page opens a tab of this size. Close it.
func (b *Browser) Page(ctx context.Context, width, height int) (*Page, error) {
	conn, _, err := websocket.Dial(ctx, b.address, nil)
	if err != nil {
		return nil, fmt.Errorf("connect to Chromium: %w", err)
	}
	conn.SetReadLimit(largestMessage)
	p := &Page{conn: conn, done: make(chan struct{})}
	p.mu.waiting = map[int64]chan message{}
	go p.read() // ends with Close
	if err := p.attach(ctx, width, height); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Page) attach(ctx context.Context, width, height int) error {
	var context struct{ BrowserContextID string }
	if err := p.Call(ctx, "Target.createBrowserContext", map[string]any{"disposeOnDetach": true}, &context); err != nil {
		return err
	}
	var target struct{ TargetID string }
	if err := p.Call(ctx, "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.BrowserContextID}, &target); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	if err := p.Call(ctx, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	p.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		if err := p.Call(ctx, domain+".enable", nil, nil); err != nil {
			return err
		}
	}
	return p.Resize(ctx, width, height)
}

// Close closes the tab.
func (p *Page) Close() error {
	err := p.conn.CloseNow()
	<-p.done
	return err
}

// Call calls a method of the protocol and reads its result into the value, if there is one.
func (p *Page) Call(ctx context.Context, method string, params, result any) error {
	p.next++
	m := message{ID: p.next, SessionID: p.session, Method: method}
	if params != nil {
		raw, err := json.Marshal(params)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		m.Params = raw
	}
	answer := make(chan message, 1)
	p.mu.Lock()
	p.mu.waiting[m.ID] = answer
	p.mu.Unlock()
	text, err := json.Marshal(m)
	if err == nil {
		err = p.conn.Write(ctx, websocket.MessageText, text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a := <-answer:
		if a.Error != nil {
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-p.done:
		return fmt.Errorf("%s: Chromium has gone", method)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// read hands results to those who wait, and notes what the page does.
func (p *Page) read() {
	defer close(p.done)
	for {
		_, text, err := p.conn.Read(context.Background())
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text, &m) != nil {
			continue
		}
		p.mu.Lock()
		if waiting := p.mu.waiting[m.ID]; m.ID != 0 && waiting != nil {
			delete(p.mu.waiting, m.ID)
			waiting <- m
		}
		p.note(&m)
		p.mu.Unlock()
	}
}

// note keeps the addresses that are asked, and what goes wrong in the page. It is called with the lock held.
func (p *Page) note(m *message) {
	var e struct {
		Request          struct{ URL string }
		URL              string
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
		Type  string
		Args  []struct{ Value any }
		Entry struct{ Level, Text, URL string }
	}
	if m.Params == nil || json.Unmarshal(m.Params, &e) != nil {
		return
	}
	switch m.Method {
	case "Network.requestWillBeSent":
		p.mu.requests = append(p.mu.requests, e.Request.URL)
	case "Network.webSocketCreated":
		p.mu.requests = append(p.mu.requests, e.URL)
	case "Runtime.exceptionThrown":
		p.mu.console = append(p.mu.console, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case "Runtime.consoleAPICalled":
		if e.Type == "error" || e.Type == "warning" {
			p.mu.console = append(p.mu.console, fmt.Sprint(e.Type, ": ", e.Args))
		}
	case "Log.entryAdded":
		if e.Entry.Level == "error" {
			p.mu.console = append(p.mu.console, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// Requests are the addresses that the page asked, WebSockets included, in order.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.mu.requests...)
}

// Console are the errors and warnings of the page: exceptions, refused loads, violations of its policy.
func (p *Page) Console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.mu.console...)
}
