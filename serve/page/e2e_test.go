package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"
)

func TestHomeSaysWhatIsWrong(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/", 1440, 900)
	b.sees("1 critical alert, 1 warning")
	b.sees("Everything up to")
	b.sees("BruteForceSucceeded of acme")
	b.wait(`document.title.startsWith('(2)')`)
	b.wait(`document.querySelectorAll('.plot canvas').length === 2`)
	b.click(`nav a[href^="/alerts"]`)
	b.wait(`location.pathname === '/alerts'`)
	b.clean()
}

func TestKeyboardAcknowledges(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/alerts", 1440, 900)
	b.wait(`document.querySelectorAll('[data-alert]').length === 2`)
	b.keys("j", "j", "k", "Enter")
	b.wait(`location.pathname === '/alerts/a1'`)
	b.sees("203.0.113.7")
	b.sees("KP") // the evidence was read from the log
	b.keys("a")
	b.wait(`document.activeElement.id === 'note'`)
	b.must(b.Text(b.ctx, "looking at it"))
	b.click(`.ack .button.primary`)
	b.sees("grace acknowledged it")
	posts := a.posts()
	if len(posts) != 1 || posts[0].path != "/api/v2/metrics/alerts/a1/acknowledge" || posts[0].body["note"] != "looking at it" {
		t.Errorf("the page posted %v", posts)
	}
	b.keys("Escape") // the button has the focus: Escape closes
	b.wait(`location.pathname === '/alerts'`)
	b.keys("/")
	b.must(b.Text(b.ctx, "cpu web-2"))
	b.wait(`document.querySelectorAll('[data-alert]').length === 1 && location.search.includes('q=cpu')`)
	b.keys("Escape")
	b.wait(`document.activeElement.tagName !== 'INPUT'`)
	b.keys("?")
	b.wait(`document.querySelector('dialog').open`)
	b.clean()
}

func TestKeyboardAcknowledgesFromTheList(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/alerts", 1440, 900)
	b.wait(`document.querySelectorAll('[data-alert]').length === 2`)
	b.keys("j", "a") // the alert has still to be asked for
	b.wait(`location.pathname === '/alerts/a1' && document.activeElement.id === 'note'`)
	b.clean()
}

func TestDragZoomsAllCharts(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/?last=30m", 1440, 900)
	b.wait(`document.querySelectorAll('.u-over').length === 2 && document.querySelectorAll('.legend li').length >= 4`)
	over, err := b.At(b.ctx, ".u-over", 0.3, 0.5)
	b.must(err)
	b.must(b.Move(b.ctx, over))
	b.wait(`document.querySelectorAll('.actions .at').length === 2`) // both charts tell their values at the cross-hair
	a.forget()
	b.drag(".u-over", 0.25, 0.5)
	b.wait(`new URLSearchParams(location.search).has('from')`)
	var r struct{ From, To int64 }
	b.eval(`(() => { const q = new URLSearchParams(location.search); return {From: Number(q.get('from')), To: Number(q.get('to'))}; })()`, &r)
	if length := time.Duration(r.To-r.From) * time.Millisecond; length < 6*time.Minute || length > 9*time.Minute || r.To > millis(10*time.Minute) {
		t.Errorf("a quarter of half an hour is %s up to %s", length, time.UnixMilli(r.To).UTC())
	}
	for _, pipeline := range []string{"host-cpu", "authentication"} {
		want := fmt.Sprintf("pipeline=%s", pipeline)
		b.wait("true")
		if !waitFor(b, func() bool { return a.asked(want) && a.asked(fmt.Sprintf("from=%d", r.From)) }) {
			t.Errorf("%s was not asked for the range", pipeline)
		}
	}
	b.eval("history.back()", nil)
	b.wait(`location.search === '?last=30m'`)
	b.sees("Last 30 minutes")
	b.clean()
}

func TestRangePicker(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/hosts", 1440, 900)
	b.click(".range .now")
	b.wait(`document.querySelector('.sheet')`)
	b.click(".presets .button:nth-child(4)")
	b.wait(`location.search === '?last=1h' && !document.querySelector('.sheet')`)
	b.click(`button[aria-label="Earlier"]`)
	b.wait(`location.search.includes('from=')`)
	b.click(`nav a[href^="/security"]`)
	b.wait(`location.pathname === '/security' && location.search.includes('from=')`) // the range goes along
	b.clean()
}

func TestLiveChangesAndReconnects(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/hosts", 1440, 900)
	b.sees("Live")
	b.sees("web-2")
	_, body := query(url.Values{"pipeline": {"host-cpu"}, "by": {"tenant,host"}})
	delta := body.(object)
	line := delta["series"].([]object)[0]
	line["points"] = [][]any{{millis(50 * time.Second), 0.987, 0.99}}
	delta["series"], delta["outputs"] = []object{line}, []object{}
	line["labels"] = object{"tenant": "acme", "host": "web-new"}
	a.delta("host-cpu", delta)
	b.sees("web-new")
	b.sees("98.7 %")

	a.leave(true)
	b.sees("The server does not answer")
	b.wait(`document.querySelector('.connection.offline')`)
	b.sees("web-new") // what was known stays
	a.leave(false)
	b.click(".banner .button")
	b.wait(`document.querySelector('.connection.live')`)
	b.wait(`!document.body.innerText.includes('web-new')`) // a fresh snapshot
}

func TestWithoutWebSocketThePageAsks(t *testing.T) {
	a := newAPI(t, world())
	a.mu.silent = true
	b := open(t, a.server.URL, "/hosts", 1440, 900)
	b.sees("Every 3 s")
	b.sees("web-2")
}

func TestHostDrillDown(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/hosts?sort=host", 1440, 900)
	b.wait(`document.querySelectorAll('tbody tr').length === 3`)
	b.click(`input[type="search"]`)
	b.must(b.Text(b.ctx, "web-1"))
	b.wait(`document.querySelectorAll('tbody tr').length === 1 && location.search.includes('q=web-1')`)
	b.click(`tbody a`)
	b.wait(`location.pathname === '/hosts/web-1' && location.search.includes('tenant=acme')`)
	if !waitFor(b, func() bool { return a.asked("where=host%3Dweb-1") }) {
		t.Error("the charts are not narrowed to the host")
	}
	b.sees("host-network.network")
	b.wait(`document.querySelectorAll('.plot canvas').length === 2`)
	b.clean()
}

func TestSecurityShowsEvidence(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/security", 1440, 900)
	b.click(`button.toggle`)
	b.wait(`location.search.includes('attack=a1')`)
	b.sees("security/1/42")
	b.wait(`document.querySelectorAll('td.success').length === 1 && document.querySelectorAll('td.failure').length === 1`) // one is named twice
	b.click(`.evidence button.place`)
	b.sees(`"country": "KP"`)
	b.clean()
}

func TestPipelinesToTheRecord(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/pipelines", 1440, 900)
	b.click(`tbody a`)
	b.wait(`location.pathname === '/pipelines/authentication' && document.querySelectorAll('g.node').length === 3`)
	b.click(`g.node.step`)
	b.sees("keeps events where name is cpu")
	b.click(`a[href*="tab=letters"]`)
	b.sees("time is no time")
	b.click(`tbody tr`)
	b.sees(`"time": "yesterday"`)
	b.sees("time is missing") // the record is one entry, with everybody who rejected it
	b.wait(`document.querySelectorAll('.rejections li').length === 2 && document.querySelectorAll('tr.link').length === 1`)
	b.wait(`(() => { const s = document.querySelector('select[aria-label=State]'); s.value = 'handled'; return s.dispatchEvent(new Event('change', {bubbles: true})); })()`)
	b.wait(`location.search.includes('state=handled') && document.querySelectorAll('tr.link').length === 1`)
	b.sees("retried")
	b.click(`tbody tr`)
	b.sees("retried by grace")
	b.sees("now metrics/0/900")
	b.load("/pipelines?tab=ledger")
	b.sees("offsets are accounted for")
	b.clean()
}

func TestNothingToShowIsSaid(t *testing.T) {
	a := newAPI(t, nothing())
	b := open(t, a.server.URL, "/", 1440, 900)
	for path, words := range map[string][]string{
		"/": {"Nothing is wrong", "No alert is firing", "No pipeline is deployed"}, "/hosts": {"No pipeline makes a rollup"}, "/security": {"No pipeline counts logins", "has found anything"},
		"/alerts": {"Nothing is wrong"}, "/alerts?state=all": {"there never was"}, "/pipelines": {"No pipeline is deployed"}, "/pipelines?tab=letters": {"No dead letter"}, "/pipelines?tab=ledger": {"Nothing is claimed yet"},
		"/pipelines/none": {"Not here"}, "/alerts/none": {"Not here"}, "/no/such/page": {"There is no page"},
	} {
		b.load(path)
		for _, w := range words {
			b.sees(w)
		}
	}
}

func TestAStoreThatIsAwayIsSaid(t *testing.T) {
	w := world()
	w["/query"], w["/pipelines"], w["/dead-letters"] = unavailable, unavailable, unavailable
	a := newAPI(t, w)
	b := open(t, a.server.URL, "/", 1440, 900)
	for _, path := range []string{"/hosts", "/security", "/pipelines?tab=letters", "/", "/pipelines"} {
		b.load(path)
		b.sees("A store is away")
		b.sees("Redis does not answer")
		b.sees("It goes on by itself")
	}
	a.set("/pipelines", list(pipeline("host-cpu")))
	a.cut() // the page subscribes again
	b.sees("host-cpu")
}

// A page that is opened while the server starts knows no output yet, and must not stay empty.
func TestOutputsThatComeLater(t *testing.T) {
	w := world()
	outputs := w["/outputs"]
	w["/outputs"] = list()
	a := newAPI(t, w)
	b := open(t, a.server.URL, "/", 1440, 900)
	b.sees("No host reports its CPU in this range")
	_, body := outputs(nil)
	a.each("/outputs", func(_ *viewer, id string, s *sub) map[string]any {
		return map[string]any{"type": "snapshot", "id": id, "seq": s.seq, "data": body}
	})
	b.wait(`document.querySelectorAll('.legend li').length > 2`)
	b.clean()
}

func TestTwoVersionsInTheLedger(t *testing.T) {
	row := func(version string) object {
		return object{
			"task": "host-cpu@" + version + "/main/metrics/0", "pipeline": "host-cpu", "stage": "main", "topic": "metrics", "partition": 0, "epoch": 9,
			"first": 0, "offset": 1000, "ledger": object{"counted": 1000}, "difference": 0,
		}
	}
	w := world()
	w["/ledger"] = always(object{"items": []any{row("0a1b"), row("2c3d")}, "total": object{"counted": 2000}, "difference": 0})
	a := newAPI(t, w)
	b := open(t, a.server.URL, "/pipelines/host-cpu?tab=ledger", 1440, 900)
	b.sees("0a1b")
	b.sees("2c3d")
	b.clean()
}

func TestTokenIsAskedFor(t *testing.T) {
	w := world()
	w["/session"] = always(object{"name": "", "roles": []string{}, "tokens_required": true})
	a := newAPI(t, w)
	b := open(t, a.server.URL, "/hosts", 1440, 900)
	b.sees("This server asks for a token")
	a.set("/session", func(url.Values) (int, any) {
		return http.StatusUnauthorized, problem("unauthorized", "that is no token")
	})
	b.click("#token")
	b.must(b.Text(b.ctx, "wrong"))
	b.keys("Enter")
	b.sees("that is no token")
	a.set("/session", always(object{"name": "ada", "roles": []string{"read"}, "tokens_required": true}))
	b.keys("Enter")
	b.sees("web-2")
	b.load("/alerts/a1")
	b.sees("it lacks the role ack")
}

// TestEveryPageFitsAndIsLabelled looks at each page in each size and theme: nothing sticks out, nothing is nameless, what is
// written can be read, and nothing was complained about.
func TestEveryPageFitsAndIsLabelled(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/", 1440, 800)
	for _, path := range []string{"/", "/hosts", "/hosts/web-1", "/security?attack=a1", "/alerts", "/alerts/a1", "/pipelines", "/pipelines?tab=ledger", "/pipelines?tab=letters&letter=0-7", "/pipelines?tab=letters&state=all&letter=0-9", "/pipelines/host-cpu", "/pipelines/host-cpu?tab=source"} {
		for _, width := range []int{360, 800, 1440} {
			b.must(b.Resize(b.ctx, width, 800))
			b.load(path)
			b.wait(`document.querySelector('main').innerText.length > 20`)
			for _, scheme := range []string{"light", "dark"} {
				b.must(b.Scheme(b.ctx, scheme))
				var found []string
				b.eval(audit, &found)
				for _, f := range found {
					t.Errorf("%s at %d, %s: %s", path, width, scheme, f)
				}
			}
		}
	}
	b.clean()
}

// audit lists what is wrong with a page: wider than the window, controls without a name, text too close to its ground (WCAG
// 2.2, 1.4.3: 4.5 to 1).
const audit = `(() => {
	const wrong = [];
	if (document.documentElement.scrollWidth > innerWidth) {
		const wide = [...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll') && !e.closest('pre'));
		wrong.push('wider than the window: ' + wide.slice(0, 3).map((e) => e.tagName + '.' + e.className).join(', '));
	}
	const named = (e) => e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length || e.title;
	for (const e of document.querySelectorAll('a, button, input, select, textarea, [role=button], [role=img]')) if (!named(e)) wrong.push('no name: ' + e.outerHTML.slice(0, 120));
	const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
	const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
	const seen = new Set();
	for (const e of document.querySelectorAll('main *, nav *, header *')) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.closest('svg, .hidden-visually, :disabled') || !e.getClientRects().length) continue;
		const [a, b] = [light(parse(getComputedStyle(e).color).slice(0, 3)), light(ground(e).slice(0, 3))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const what = e.tagName + '.' + e.className;
		if (ratio < 4.5 && !seen.has(what)) { seen.add(what); wrong.push('contrast ' + ratio.toFixed(2) + ': ' + what + ' ' + e.textContent.trim().slice(0, 30)); }
	}
	return wrong;
})()`

func TestThemeIsKept(t *testing.T) {
	a := newAPI(t, world())
	b := open(t, a.server.URL, "/", 1440, 900)
	b.must(b.Scheme(b.ctx, "dark"))
	ground := `getComputedStyle(document.body).backgroundColor`
	dark := b.text(ground)
	b.click(`button[aria-label^="Theme: system"]`)
	b.wait(`document.documentElement.dataset.theme === 'light'`)
	if light := b.text(ground); light == dark {
		t.Errorf("the ground stays %s", light)
	}
	b.load("/hosts")
	b.wait(`document.documentElement.dataset.theme === 'light'`)
	b.click(`button[aria-label^="Theme: light"]`)
	b.wait(`document.documentElement.dataset.theme === 'dark' && ` + ground + ` === ` + quote(dark))
	b.clean()
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string has a form in JSON
	}
	return string(text)
}

// waitFor looks at the test's own server until the condition holds, in step with the browser's frames.
func waitFor(b *tab, holds func() bool) bool {
	for range 200 {
		if holds() {
			return true
		}
		b.eval(`new Promise((done) => setTimeout(done, 20))`, nil)
	}
	return holds()
}
