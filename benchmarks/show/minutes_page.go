package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidewatch/tidewatch/benchmarks/bed"
)

// onPage is what the browser has to show, as expressions of its language.
const (
	chartHasPoint = `[...document.querySelectorAll('.legend li b')].some((b) => /[0-9]/.test(b.innerText))`
	attackListed  = `document.querySelectorAll('[data-alert]').length === 1 && document.querySelector('[data-alert]').innerText.includes('BruteForceSucceeded')`
	noteHasFocus  = `document.activeElement.id === 'note'`
	nameHasFocus  = `document.activeElement.ariaLabel === 'Your name'`
	// A record of the evidence is read from the log: it has the fields of a login, one that failed and one that did not.
	evidenceShown = `document.querySelector('td.failure') && document.querySelector('td.success')`
)

// firstLook waits for the API and then for data on the page, and meanwhile until it is ready.
func (m *minutesRun) firstLook(ctx context.Context) error {
	errs := make([]error, 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		if errs[0] = m.askUntil(ctx, m.healthy); errs[0] != nil {
			return
		}
		m.API = m.now()
		errs[0] = errors.Join(m.page.Go(ctx, m.address("/")), m.page.Wait(ctx, chartHasPoint))
		m.Data = m.now()
		_, all, err := cpuOf(m.cmd.Process.Pid)
		m.DataCPU, errs[0] = hundredths(all), errors.Join(errs[0], err)
	})
	wg.Go(func() {
		errs[1] = m.askUntil(ctx, func(ctx context.Context) error { return m.answersOK(ctx, "/readyz") })
		m.Ready = m.now()
	})
	wg.Wait()
	progress("API after %.1f s, data on the page %.1f s, ready %.1f s", m.API, m.Data, m.Ready)
	return errors.Join(errs...)
}

func (m *minutesRun) healthy(ctx context.Context) error { return m.answersOK(ctx, "/healthz") }

func (m *minutesRun) address(path string) string { return "http://" + m.listen + path }

// findAttack looks at the page's alerts until the attack is there, and opens it with the keyboard.
func (m *minutesRun) findAttack(ctx context.Context) error {
	err := errors.Join(
		m.page.Go(ctx, m.address("/alerts?q=BruteForceSucceeded")),
		m.page.Wait(ctx, attackListed),
	)
	if err != nil {
		return err
	}
	m.Alert = m.now()
	err = errors.Join(
		m.page.Key(ctx, "j"),
		m.page.Wait(ctx, `document.querySelector('[data-alert].chosen')`),
		m.page.Key(ctx, "Enter"),
		m.page.Wait(ctx, evidenceShown),
		m.page.Eval(ctx, `location.pathname.split('/').pop()`, &m.alert),
	)
	m.Evidence = m.now()
	return err
}

// acknowledge writes a note and a name without the mouse. The command line has to say both.
func (m *minutesRun) acknowledge(ctx context.Context) error {
	err := errors.Join(
		m.page.Key(ctx, "a"),
		m.page.Wait(ctx, noteHasFocus),
		m.page.Text(ctx, noted),
		m.page.Key(ctx, "Tab"),
		m.page.Wait(ctx, nameHasFocus),
		m.page.Text(ctx, newcomer),
		m.page.Key(ctx, "Enter"),
		m.page.Wait(ctx, fmt.Sprintf(`document.querySelector('.taken')?.innerText.includes(%q)`, newcomer)),
	)
	if err != nil {
		return err
	}
	err = poll(ctx, time.Minute, "alert show says who acknowledged", func() (bool, error) {
		out, err := m.says(ctx, "alert", "show", m.alert)
		return strings.Contains(out, "acknowledged by "+newcomer) && strings.Contains(out, noted), err
	})
	m.Acked = m.now()
	return err
}

// applyChange looks at the pipeline on the page while the changed copy is applied: the new instance comes without a reload.
func (m *minutesRun) applyChange(ctx context.Context) error {
	shows := func(instance string) string {
		return fmt.Sprintf(`[...document.querySelectorAll('dd')].some((d) => d.innerText.trim() === %q)`, instance)
	}
	var now struct{ Instance string }
	err := errors.Join(
		bed.GetJSON(ctx, m.address("/api/v2/pipelines/host-cpu"), &now),
		m.page.Go(ctx, m.address("/pipelines/host-cpu")),
		m.page.Wait(ctx, shows(now.Instance)),
	)
	if err != nil {
		return err
	}
	a, err := m.apply(ctx)
	if err != nil {
		return err
	}
	if a.Before != now.Instance || a.Instance == now.Instance {
		return fmt.Errorf("%s follows %s, but %s ran", a.Instance, a.Before, now.Instance)
	}
	m.Applied, m.since = m.now(), a.Since
	err = m.page.Wait(ctx, shows(a.Instance))
	m.Shown = m.now()
	return errors.Join(err, m.quiet())
}

// quiet fails if the page has complained.
func (m *minutesRun) quiet() error {
	if lines := m.page.Console(); len(lines) > 0 {
		return fmt.Errorf("the page complains: %q", lines)
	}
	return nil
}

// notEvents are records that no pipeline can decode, for the picture of dead letters.
var notEvents = []string{`{"name":"system.cpu.utilization","host":"web-7","value":"high"}`, `{"name":"system.cpu.util`, `web-7 cpu=0.93`}

// pictures takes those of the documents.
func (m *minutesRun) pictures(ctx context.Context, dir string) error {
	progress("pictures into %s", dir)
	if err := errors.Join(os.MkdirAll(dir, 0o750), m.sendNotEvents(ctx)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "run", "./internal/chromium/pictures", "-server", m.address(""), "-out", dir,
		"home=/", "hosts=/hosts", "security=/security", "alerts=/alerts", "alert=/alerts/"+m.alert,
		"pipelines=/pipelines", "pipeline=/pipelines/authentication", "letters=/pipelines?tab=letters")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("take pictures: %w", err)
	}
	return nil
}

// sendNotEvents waits until they are dead letters.
func (m *minutesRun) sendNotEvents(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(m.kafka), kgo.DefaultProduceTopic("metrics"))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, text := range notEvents {
		if err := client.ProduceSync(ctx, kgo.StringRecord(text)).FirstErr(); err != nil {
			return err
		}
	}
	return poll(ctx, time.Minute, "dead letters are listed", func() (bool, error) {
		var page struct{ Items []json.RawMessage }
		err := bed.GetJSON(ctx, m.address("/api/v2/dead-letters"), &page)
		return len(page.Items) >= len(notEvents), err
	})
}
