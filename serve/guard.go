package serve

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// callerKey is where the context of a request holds who asks.
type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// guarded reports whether tokens are asked for.
func (s *Server) guarded() bool { return s.c.Tokens != nil }

// guard finds out who asks. Without tokens a request passes if its Host, and its Origin if a browser sends one, is the
// server's own: otherwise a page of a stranger could talk to a server on the reader's machine (DNS rebinding). With tokens
// one must be shown, in the header or by the cookie of a session; a page of a stranger cannot use the cookie. Which role a
// route needs is checked where it is served.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := caller{name: localName, roles: Roles()}
		probe := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		switch {
		case probe && s.guarded():
		case !s.guarded() && !probe && !isLoopback(r.Host):
			refuse(w, http.StatusForbidden, "foreign_host", "this server answers to its loopback names only, not to Host "+r.Host)
			return
		case !sameOrigin(r):
			refuse(w, http.StatusForbidden, "foreign_origin", "pages of "+r.Header.Get("Origin")+" may not ask this server")
			return
		case s.guarded():
			var known bool
			if who, known = s.shown(r); !known && r.Header.Get("Authorization") != "" {
				w.Header().Set("WWW-Authenticate", "Bearer")
				refuse(w, http.StatusUnauthorized, "unauthorized", "that is no token of http.tokens: send one as Authorization: Bearer …")
				return
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

// shown is who owns the token of the header, else of the cookie.
func (s *Server) shown(r *http.Request) (caller, bool) {
	if header := r.Header.Get("Authorization"); header != "" {
		token, ok := strings.CutPrefix(header, "Bearer ")
		who, known := s.c.Tokens.knows(token)
		return who, ok && known
	}
	if c, err := r.Cookie(sessionCookie); err == nil {
		return s.c.Tokens.knows(c.Value)
	}
	return caller{}, false
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}
