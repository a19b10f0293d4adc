package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// writePatience is how long one message may take to leave; who takes longer is gone.
const writePatience = 30 * time.Second

// maxSubscriptionID bounds the names that clients give their subscriptions.
const maxSubscriptionID = 64

// clientMessage is what a client sends.
type clientMessage struct {
	Op   string `json:"op"`
	ID   string `json:"id"`
	Path string `json:"path,omitempty"`
}

// live takes the connection over. The goroutine of the request reads; another one writes.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	noteLive(w)
	who := callerOf(r.Context())
	if !who.may(RoleRead) {
		problem(w, s.forbidden(&call{caller: who}, &route{Role: RoleRead}))
		return
	}
	if r.Header.Get("Upgrade") == "" {
		w.Header().Set("Upgrade", "websocket")
		refuse(w, http.StatusUpgradeRequired, "upgrade_required", "this is a WebSocket: see the description of "+livePath+" in "+APIBase+"/openapi.json")
		return
	}
	v := newViewer(s)
	v.allowed = func() bool {
		if !s.guarded() {
			return true
		}
		now, _ := s.shown(r)
		return now.may(RoleRead)
	}
	if !s.hub.admit(v) {
		s.observed.refused.Inc()
		refuse(w, http.StatusServiceUnavailable, "too_many_connections", fmt.Sprintf("there are %d WebSockets already: close some pages, or try again", s.c.Limits.Connections))
		return
	}
	defer s.hub.dismiss(v)
	// The guard has compared Host and Origin. Without compression: it would cost each viewer its own pass over bytes that are
	// encoded once for all.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // it has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(s.c.Limits.Message)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	done := make(chan struct{})
	go func() { // ends with ctx, or when the client does not take a message
		defer close(done)
		defer cancel()
		v.write(ctx, conn)
	}()
	v.read(ctx, conn)
	cancel()
	<-done
}

func noteLive(w http.ResponseWriter) {
	if rec, ok := w.(*recorder); ok {
		rec.route = "live"
	}
}

// read obeys the client until it leaves.
func (v *viewer) read(ctx context.Context, conn *websocket.Conn) {
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			return
		}
		var m clientMessage
		if kind != websocket.MessageText {
			err = errors.New("it is binary")
		} else {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			v.note(ctx, "", badMessage("not JSON such as {\"op\":\"subscribe\",\"id\":\"cpu\",\"path\":\"/metrics/system\"}: "+err.Error()))
			continue
		}
		if err := v.obey(&m); err != nil {
			p, known := problemOf(err)
			if !known {
				v.s.c.Logger.Error("subscribing failed", "path", m.Path, "error", err)
			}
			v.note(ctx, m.ID, &p)
		}
	}
}

func badMessage(text string) *Problem {
	return &Problem{Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest, Code: "bad_request", Detail: text}
}

// obey subscribes or unsubscribes.
func (v *viewer) obey(m *clientMessage) error {
	switch {
	case m.ID == "" || len(m.ID) > maxSubscriptionID:
		return &Failure{*badMessage(fmt.Sprintf("id is missing, or longer than %d bytes", maxSubscriptionID))}
	case m.Op == "unsubscribe":
		if sub := v.take(m.ID); sub != nil {
			v.s.hub.unsubscribe(sub)
		}
		return nil
	case m.Op != "subscribe":
		return &Failure{*badMessage(fmt.Sprintf("unknown op %q; there are subscribe and unsubscribe", m.Op))}
	}
	if sub := v.take(m.ID); sub != nil {
		v.s.hub.unsubscribe(sub)
	}
	if n := v.s.c.Limits.Subscriptions; v.count() >= n {
		return failure(http.StatusServiceUnavailable, "too_many_subscriptions", fmt.Sprintf("at most %d subscriptions a connection", n))
	}
	c, err := v.s.resolve(m.Path)
	if err != nil {
		return err
	}
	sub := &subscription{viewer: v, id: m.ID}
	v.add(sub) // before it can become due
	if err := v.s.hub.subscribe(sub, c); err != nil {
		v.drop(sub)
		return err
	}
	return nil
}

// write sends what is due until ctx is done or the client does not take it. Pings tell whether it is there at all.
func (v *viewer) write(ctx context.Context, conn *websocket.Conn) {
	send := func(m []byte) bool {
		ctx, cancel := context.WithTimeout(ctx, writePatience)
		defer cancel()
		return conn.Write(ctx, websocket.MessageText, m) == nil
	}
	if !send(v.hello()) {
		return
	}
	ping := v.s.c.Clock.After(v.s.c.Limits.Ping)
	for {
		m, reason := v.next()
		switch {
		case m != nil:
			if !send(m) {
				return
			}
			continue
		case reason != "":
			send(fmt.Appendf(nil, `{"type":"bye","reason":%q}`, reason))
			_ = conn.Close(websocket.StatusGoingAway, reason)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-v.ready:
		case <-ping:
			if !v.allowed() {
				v.leave("the token of this connection may not read any more")
				continue
			}
			alive, cancel := context.WithTimeout(ctx, writePatience)
			err := conn.Ping(alive)
			cancel()
			if err != nil {
				return
			}
			ping = v.s.c.Clock.After(v.s.c.Limits.Ping)
		}
	}
}

func (v *viewer) hello() []byte {
	m, err := json.Marshal(object{
		"type": "hello", "version": v.s.c.Version, "now": v.s.c.Clock.Now().UTC(), "limits": object{"subscriptions": v.s.c.Limits.Subscriptions},
	})
	if err != nil {
		panic("hello: " + err.Error()) // it holds nothing that could fail
	}
	return m
}
