package serve

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// guard lets a request pass if its Host, and its Origin if a browser sends one, is the server's own: otherwise a page of
// a stranger could talk to a server on the reader's machine (DNS rebinding). With tokens, one must be shown instead.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
		case len(s.c.Tokens) > 0:
			if !s.knows(r.Header.Get("Authorization")) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				problem(w, http.StatusUnauthorized, "unauthorized", "send a token of http.tokens as Authorization: Bearer …")
				return
			}
		case !isLoopback(r.Host):
			problem(w, http.StatusForbidden, "foreign_host", "this server answers to its loopback names only, not to Host "+r.Host)
			return
		case !sameOrigin(r):
			problem(w, http.StatusForbidden, "foreign_origin", "pages of "+r.Header.Get("Origin")+" may not ask this server")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) knows(header string) bool {
	shown, ok := strings.CutPrefix(header, "Bearer ")
	found := false
	for _, t := range s.c.Tokens {
		if subtle.ConstantTimeCompare([]byte(t), []byte(shown)) == 1 {
			found = true
		}
	}
	return ok && found
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
