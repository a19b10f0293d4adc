package generate

import (
	"strconv"

	"github.com/tidewatch/tidewatch/stream"
)

// A block of blockEvents events holds one brute force that ends in a success and one password spraying. Attack events
// replace every attackEvery-th event of their span.
const (
	blockEvents   = 20_000
	attackEvery   = 4
	bruteAt       = 4_000
	bruteEvents   = 60 // the last one succeeds
	sprayAt       = 12_000
	sprayEvents   = 200
	homeCountries = 12
)

var countries = [homeCountries]string{"DE", "FR", "US", "GB", "NL", "PL", "ES", "IT", "SE", "IN", "JP", "BR"}

// loginsScenario is users who log in, with planted attacks.
func loginsScenario() *scenario {
	return &scenario{
		name: "logins", about: "logins of users; a brute force that succeeds and a password spraying are planted", topic: "security",
		perSecond: func(*Config) int { return 50 },
		entities:  func(c *Config) (string, int) { return "user", c.Users },
		event:     loginEvent,
	}
}

// login is what an event says.
type login struct {
	user            int
	success         bool
	country         string
	address         uint32
	mfa             bool
	attackerAddress bool
}

func loginEvent(g *Generator, i int64, r *random, e *Event) {
	l := login{user: r.intn(len(g.names)), success: !r.chance(30), mfa: r.chance(600)}
	home := random{g.c.Seed ^ uint64(l.user)*0x2545f4914f6cdd1d}
	l.country, l.address = countries[home.intn(homeCountries)], uint32(home.next())
	g.attack(i, &l, e)
	e.Time = disorder(r, e.Time)
	e.Key = append(e.Key, g.names[l.user]...)
	e.Value = appendLogin(e.Value, e.Time, g.names[l.user], &l)
}

// attack replaces the login by one of an attack, if event i belongs to one.
func (g *Generator) attack(i int64, l *login, e *Event) {
	block, at := i/blockEvents, i%blockEvents
	plan := random{g.c.Seed ^ uint64(block)*0xd1342543de82ef95}
	victim, source := plan.intn(len(g.names)), uint32(plan.next())
	step := func(from, events int64) (n int64, ok bool) {
		n = at - from
		return n / attackEvery, n >= 0 && n < events*attackEvery && n%attackEvery == 0
	}
	if n, ok := step(bruteAt, bruteEvents); ok {
		*l = login{user: victim, success: n == bruteEvents-1, country: "KP", address: source, attackerAddress: true}
		e.Label = "brute_force"
	}
	if n, ok := step(sprayAt, sprayEvents); ok {
		*l = login{user: int(n) * 7 % len(g.names), country: "RU", address: source + 1, attackerAddress: true}
		e.Label = "password_spraying"
	}
}

func appendLogin(b []byte, t stream.Time, user []byte, l *login) []byte {
	b = strconv.AppendQuote(append(b, `{"time":`...), t.String())
	b = append(b, `,"class":"authentication","activity":"logon","status":"`...)
	if l.success {
		b = append(b, `success","user":"`...)
	} else {
		b = append(b, `failure","user":"`...)
	}
	b = append(append(b, user...), `","src_ip":"`...)
	first := 10
	if l.attackerAddress {
		first = 203
	}
	b = strconv.AppendInt(b, int64(first), 10)
	for shift := 16; shift >= 0; shift -= 8 {
		b = strconv.AppendInt(append(b, '.'), int64(l.address>>shift&255), 10)
	}
	b = append(append(b, `","country":"`...), l.country...)
	b = append(b, `","service":"sso","tenant":"t`...)
	b = strconv.AppendInt(b, int64(l.address%5), 10)
	b = strconv.AppendBool(append(b, `","mfa":`...), l.mfa)
	return append(b, `,"attributes":{}}`...)
}

// Planted denials: in every block one user is denied many calls in a row.
const (
	deniedAt     = 8_000
	deniedEvents = 120
)

var operations = [...]string{"ListBuckets", "GetObject", "PutObject", "DescribeInstances", "AssumeRole", "GetUser", "ListKeys", "DeleteObject"}

// apiScenario is users who call an API, with a planted enumeration that is denied.
func apiScenario() *scenario {
	return &scenario{
		name: "api", about: "API calls of users; an enumeration that is denied again and again is planted", topic: "security",
		perSecond: func(*Config) int { return 100 },
		entities:  func(c *Config) (string, int) { return "user", c.Users },
		event:     apiEvent,
	}
}

func apiEvent(g *Generator, i int64, r *random, e *Event) {
	user, operation, denied := r.intn(len(g.names)), operations[r.intn(len(operations))], r.chance(5)
	block, at := i/blockEvents, i%blockEvents-deniedAt
	if at >= 0 && at < deniedEvents*attackEvery && at%attackEvery == 0 {
		plan := random{g.c.Seed ^ uint64(block)*0xa0761d6478bd642f}
		user, denied, e.Label = plan.intn(len(g.names)), true, "enumeration"
		operation = operations[int(at/attackEvery)%len(operations)]
	}
	e.Time = disorder(r, e.Time)
	e.Key = append(e.Key, g.names[user]...)
	b := strconv.AppendQuote(append(e.Value, `{"time":`...), e.Time.String())
	b = append(b, `,"class":"api_activity","activity":"call","status":"`...)
	if denied {
		b = append(b, `failure","error":"AccessDenied","user":"`...)
	} else {
		b = append(b, `success","user":"`...)
	}
	b = append(append(b, g.names[user]...), `","operation":"`...)
	b = append(append(b, operation...), `","service":"storage","tenant":"t`...)
	b = strconv.AppendInt(b, int64(user%5), 10)
	b = append(b, `","src_ip":"10.`...)
	b = appendAddress(b, r)
	b = append(b, `","attributes":{}}`...)
	e.Value = b
}
