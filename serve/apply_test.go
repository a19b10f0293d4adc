package serve

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

// Apply implements Applier: the world's only pipeline is host-cpu.
func (w *world) Apply(_ context.Context, r ApplyRequest) (ApplyAnswer, error) {
	if !strings.HasPrefix(r.Text, "pipeline: host-cpu\n") {
		return ApplyAnswer{}, Refused(r.File + ":1: there is no pipeline in the file: it begins with `pipeline: NAME`")
	}
	w.applied = append(w.applied, r)
	a := AppliedPipeline{Pipeline: "host-cpu", Instance: "host-cpu@2", Before: "host-cpu@1", Inherits: []string{"HostCPUHigh"}}
	if !r.DryRun {
		since := Instant(stream.TimeOf(nine))
		a.Since = &since
	}
	return ApplyAnswer{Pipelines: []AppliedPipeline{a}}, nil
}

func TestApply(t *testing.T) {
	w := exampleWorld(t)
	s := w.server(t, func(c *Config) { c.Tokens = fixedTokens(token(t, "ada", "s3cret", RoleWrite)) })
	for _, tc := range []struct {
		body string
		want int
	}{
		{`{"text":"pipeline: host-cpu\n","file":"cpu.yaml","dry_run":true}`, 200},
		{`{"text":"pipeline: host-cpu\n","by":"bob"}`, 400},
		{`{"text":""}`, 400},
		{`{"text":"nothing","file":"cpu.yaml"}`, 422},
	} {
		r := httptest.NewRequest(http.MethodPost, APIBase+"/pipelines/apply", strings.NewReader(tc.body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer s3cret")
		got := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(got, r)
		if got.Code != tc.want {
			t.Errorf("%s: status %d, want %d: %s", tc.body, got.Code, tc.want, got.Body)
		}
	}
	if len(w.applied) != 1 || w.applied[0].By != "ada" || !w.applied[0].DryRun {
		t.Errorf("applied %+v", w.applied)
	}
}
