package serve

import (
	"context"
	"net/http"
)

// localName is who asks where nobody is asked who he is.
const localName = "local"

// sessionCookie holds the token of a browser. Scripts cannot read it, and no other site can have it sent.
const sessionCookie = "tidewatch_token"

func (s *Server) sessionOf(who caller) SessionAnswer {
	a := SessionAnswer{Name: who.name, Roles: who.roles, TokensRequired: s.guarded()}
	if a.Roles == nil {
		a.Roles = []Role{}
	}
	return a
}

func showSession(_ context.Context, s *Server, c *call) (reply, error) {
	return reply{body: s.sessionOf(c.caller)}, c.mistakes()
}

func login(_ context.Context, s *Server, c *call) (reply, error) {
	if err := c.mistakes(); err != nil {
		return reply{}, err
	}
	var body SessionRequest
	if err := c.decode(&body); err != nil {
		return reply{}, err
	}
	who, known := s.c.Tokens.knows(body.Token)
	if !known {
		return reply{}, failure(http.StatusUnauthorized, "unauthorized", "that is no token of http.tokens")
	}
	return reply{body: s.sessionOf(who), cookie: cookieOf(c, body.Token, 0)}, nil
}

func logout(_ context.Context, _ *Server, c *call) (reply, error) {
	return reply{status: http.StatusNoContent, cookie: cookieOf(c, "", -1)}, c.mistakes()
}

func cookieOf(c *call, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteStrictMode,
	}
}
