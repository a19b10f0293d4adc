package generate

import (
	"strconv"
	"time"
)

// Habits of normal life in the scenario access: what looks like an attack and is none.
const (
	staleUser      = 3                // a program of theirs goes on trying an old password
	staleEvery     = 300              // events
	forgetEvery    = 10 * time.Minute // then somebody has forgotten a password: a few failures, and it is back
	forgetFor      = time.Minute
	travelEvery    = 3 * time.Hour // then somebody travels for an hour
	travelFor      = time.Hour
	administrators = 4 // the first users call sensitive things all day
	tenants        = 5
	mishapEvery    = 10 // events: so often a mishap adds one
)

var (
	plainCalls     = [...]string{"ListBuckets", "GetObject", "PutObject", "DescribeInstances", "AssumeRole", "GetUser", "ListKeys", "DeleteObject"}
	adminCalls     = [...]string{"CreateUser", "AttachUserPolicy", "GetSecretValue"}
	sensitiveCalls = [...]string{"CreateAccessKey", "AttachUserPolicy", "PutUserPolicy", "CreateLoginProfile", "StopLogging"}
)

// accessScenario is users who log in and call an API, with their habits, and planted attacks.
func accessScenario() *scenario {
	return &scenario{
		name: "access", about: "logins and API calls; planted: attacks on passwords, denials, escalation, secrets read, failures", topic: "security",
		perSecond: func(*Config) int { return 10 },
		entities:  func(c *Config) (string, int) { return "user", c.Users },
		plan:      accessPlan(),
		aim:       aimAccess,
		event:     accessEvent,
	}
}

// aimAccess chooses a victim that has no habit, or the attacker's address.
func aimAccess(g *Generator, in *Incident, draw *random) {
	in.victim = administrators + draw.intn(max(len(g.names)-administrators, 1))
	in.victim %= len(g.names)
	switch in.Kind {
	case Spraying, Stuffing:
		in.Labels = map[string]string{"src_ip": string(appendIP(nil, attackerNet, in.address))}
	case SignOnFailure:
		in.Labels = map[string]string{"tenant": "t" + strconv.Itoa(in.victim%tenants)}
	default:
		in.Labels = map[string]string{"user": string(g.names[in.victim])}
	}
}

// access is what an event says.
type access struct {
	user      int
	login     bool
	success   bool
	err       string
	operation string
	country   string
	net       int // first number of the address
	address   uint32
}

const (
	homeNet     = 10
	officeNet   = 198
	attackerNet = 203
)

func accessEvent(g *Generator, i int64, r *random, e *Event) {
	a := g.usual(i, r, e)
	g.attacks(i, &a, e)
	g.mishaps(i, &a, r, e)
	e.Time = disorder(r, e.Time)
	e.Key = append(e.Key, g.names[a.user]...)
	e.Value = appendAccess(e.Value, g.names[a.user], &a, e)
}

// usual is an event of normal life.
func (g *Generator) usual(i int64, r *random, e *Event) access {
	a := access{user: r.intn(len(g.names)), login: r.chance(350), success: true}
	if a.login {
		g.habits(i, &a, r, e)
	} else {
		g.call(&a, r)
	}
	g.home(&a, e)
	return a
}

// home is where the user is: at home, in the office of the tenant, or on a journey.
func (g *Generator) home(a *access, e *Event) {
	home := random{g.c.Seed ^ uint64(a.user+1)*0x2545f4914f6cdd1d}
	home.next()
	a.country, a.net, a.address = countries[home.intn(homeCountries)], homeNet, uint32(home.next())&0xffffff
	if home.chance(400) { // everybody in an office has one address
		a.net, a.address = officeNet, uint32(51_100<<8|a.user%tenants)
	}
	since := e.Time.Sub(g.c.Start)
	journey := random{g.c.Seed ^ uint64(since/travelEvery+1)*0xa0761d6478bd642f}
	journey.next()
	if journey.intn(len(g.names)) == a.user && since%travelEvery >= travelEvery-travelFor {
		a.country = "CA"
		a.address++
	}
}

// habits let logins fail now and then, and again and again where somebody has forgotten the password.
func (g *Generator) habits(i int64, a *access, r *random, e *Event) {
	a.success = !r.chance(20)
	since := e.Time.Sub(g.c.Start)
	forgetful := random{g.c.Seed ^ uint64(since/forgetEvery+1)*0xd1342543de82ef95}
	forgetful.next()
	who := forgetful.intn(len(g.names))
	switch passed := since % forgetEvery; {
	case i%staleEvery == 0:
		a.user, a.success = staleUser%len(g.names), false
	case passed < forgetFor && r.chance(20):
		a.user, a.success = who, passed > forgetFor*5/6
	}
}

func (g *Generator) call(a *access, r *random) {
	a.operation = plainCalls[r.intn(len(plainCalls))]
	if r.chance(30) {
		a.user = r.intn(min(administrators, len(g.names)))
		a.operation = adminCalls[r.intn(len(adminCalls))]
	}
	switch n := r.intn(1000); {
	case n < 5:
		a.success, a.err = false, "AccessDenied"
	case n < 25:
		a.success, a.err = false, "ThrottlingException"
	}
}

// attacks replace every so many-th event while an incident goes on.
func (g *Generator) attacks(i int64, a *access, e *Event) {
	at := e.Time
	for _, kind := range [...]struct {
		name  string
		every int64
	}{{BruteForce, 4}, {Spraying, 20}, {Enumeration, 5}, {Escalation, 40}, {SecretHarvest, 10}, {Stuffing, 5}} {
		if i%kind.every != 1 {
			continue
		}
		in, ok := g.active(at, kind.name)
		if !ok {
			continue
		}
		e.Label = kind.name
		n := int(i / kind.every)
		*a = access{user: in.victim, net: attackerNet, address: in.address, country: in.country}
		switch kind.name {
		case BruteForce:
			a.login, a.success = true, in.To.Sub(at) < 10*time.Second
		case Spraying:
			a.login, a.user = true, n*7%len(g.names)
		case Stuffing:
			a.login, a.user = true, g.ofTenant(in.victim%tenants, n)
		case Enumeration:
			a.operation, a.err = plainCalls[n%len(plainCalls)], "AccessDenied"
		case Escalation:
			a.operation, a.success = sensitiveCalls[n%len(sensitiveCalls)], true
		case SecretHarvest:
			a.operation, a.success = "GetSecretValue", true
		}
		return
	}
}

// ofTenant is the n-th user of a tenant that has some, over and over.
func (g *Generator) ofTenant(tenant, n int) int {
	return tenant + n%((len(g.names)-tenant+tenants-1)/tenants)*tenants
}

// mishaps are no attacks, so they come from where people usually are: calls of a broken program, and logins that fail, after
// which people try again.
func (g *Generator) mishaps(i int64, a *access, r *random, e *Event) {
	if e.Label != "" {
		return
	}
	one := i%mishapEvery == 1
	if in, ok := g.active(e.Time, BrokenClient); ok && one {
		*a = access{user: in.victim, operation: plainCalls[r.intn(len(plainCalls))], err: "ValidationException"}
		g.home(a, e)
		e.Label = BrokenClient
		return
	}
	in, ok := g.active(e.Time, SignOnFailure)
	if !ok {
		return
	}
	if one {
		*a = access{user: g.ofTenant(in.victim%tenants, r.intn(len(g.names))), login: true}
		g.home(a, e)
	}
	if a.login && a.user%tenants == in.victim%tenants {
		a.success, e.Label = r.chance(333), SignOnFailure
	}
}

func appendIP(b []byte, net int, address uint32) []byte {
	b = strconv.AppendInt(b, int64(net), 10)
	for shift := 16; shift >= 0; shift -= 8 {
		b = strconv.AppendInt(append(b, '.'), int64(address>>shift&255), 10)
	}
	return b
}

func appendAccess(b, user []byte, a *access, e *Event) []byte {
	b = strconv.AppendQuote(append(b, `{"time":`...), e.Time.String())
	if a.login {
		b = append(b, `,"class":"authentication","activity":"logon","service":"sso"`...)
	} else {
		b = append(append(b, `,"class":"api_activity","activity":"call","service":"cloud","account":"123456789012","operation":"`...), a.operation...)
		b = append(b, '"')
	}
	status := "failure"
	if a.success {
		status = "success"
	}
	b = append(append(append(b, `,"status":"`...), status...), '"')
	if a.err != "" {
		b = append(append(append(b, `,"error":"`...), a.err...), '"')
	}
	b = append(append(b, `,"user":"`...), user...)
	b = append(appendIP(append(b, `","src_ip":"`...), a.net, a.address), `","country":"`...)
	b = append(append(b, a.country...), `","tenant":"t`...)
	b = strconv.AppendInt(b, int64(a.user%tenants), 10)
	return append(b, `","attributes":{}}`...)
}
