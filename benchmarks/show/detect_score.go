package main

import (
	"maps"
	"slices"
	"time"

	"github.com/tidewatch/tidewatch/sources/generate"
)

// signs are the rules that must find a kind of incident, and those that may tell of it too, as a consequence.
type signs struct{ must, may []string }

// truths says what each kind of incident shows as.
func truths() map[string]signs {
	return map[string]signs{
		generate.BruteForce: {
			must: []string{"BruteForce", "BruteForceSucceeded", "LoginFromNewCountry"},
			may:  []string{"LoginFailuresFromSource", "TenantLoginsFail"},
		},
		generate.Spraying:      {must: []string{"PasswordSpraying"}, may: []string{"LoginFailuresFromSource", "TenantLoginsFail"}},
		generate.Enumeration:   {must: []string{"ManyDeniedCalls"}, may: []string{"APIErrorRateHigh"}},
		generate.Escalation:    {must: []string{"FirstSensitiveCall", "AuditTrailTouched"}},
		generate.SecretHarvest: {must: []string{"SecretsRead", "FirstSensitiveCall"}},
		generate.Stuffing:      {must: []string{"LoginFailuresFromSource"}, may: []string{"PasswordSpraying", "TenantLoginsFail"}},
		generate.BrokenClient:  {must: []string{"APIErrorRateHigh"}},
		// Everybody in an office has one address, from which the logins of many users fail then.
		generate.SignOnFailure: {must: []string{"TenantLoginsFail"}, may: []string{"PasswordSpraying"}},
		generate.LatencyStep:   {must: []string{"ServiceSlowedDown"}, may: []string{"ServiceSlow"}}, // a second is much for some only
		generate.ErrorBurst:    {must: []string{"ServiceErrorsHigh"}},
		generate.SlowRequests:  {must: []string{"ServiceSlow"}, may: []string{"ServiceSlowedDown"}},
		generate.SilentService: {must: []string{"ServiceSilent"}},
		generate.Saturation:    {must: []string{"HostCPUHigh"}},
		generate.SilentHost:    {must: []string{"HostSilent"}},
		generate.MemoryLeak:    {must: []string{"MemoryLeak"}, may: []string{"HostMemoryHigh"}},
		generate.MemoryFull:    {must: []string{"HostMemoryHigh"}},
		generate.DiskFull:      {must: []string{"HostDiskFilling", "HostDiskFull"}},
		generate.NetworkErrors: {must: []string{"HostNetworkErrors"}},
	}
}

// ownPipelines are those whose rules are on Tidewatch itself, with the reason why no life of hosts and users has an incident for
// them.
func ownPipelines() map[string]string {
	return map[string]string{"tidewatch-self": "its metrics are those of Tidewatch's own tasks and API, which only a worker reports"}
}

// grace is how long after its last event an incident may still be told of: windows have to close.
const grace = 12 * time.Minute

// ruleScore is how good a rule is. Planted are the incidents that it must find.
type ruleScore struct {
	Alerts    int      `json:"alerts"`
	True      int      `json:"true"`
	Planted   int      `json:"planted"`
	Found     int      `json:"found"`
	Precision *float64 `json:"precision"` // null without alerts
	Recall    *float64 `json:"recall"`    // null if nothing was planted for it
}

// detectReport is the line that show-detect prints.
type detectReport struct {
	TunedOn      string                `json:"tuned_on_seeds"`
	ShownOn      string                `json:"shown_on_seeds"`
	Hours        float64               `json:"simulated_hours"`
	Events       int64                 `json:"events"`
	Planted      int                   `json:"incidents_planted"`
	Found        int                   `json:"incidents_found"`
	Alerts       int                   `json:"alerts"`
	False        int                   `json:"false_alerts"`
	FalsePerHour float64               `json:"false_alerts_per_hour"`
	Precision    *float64              `json:"precision"`
	Recall       *float64              `json:"recall"`
	DelaySeconds float64               `json:"median_delay_seconds"` // from the first event of an incident to its first alert
	Rules        map[string]*ruleScore `json:"rules"`
	Unplanted    []string              `json:"rules_without_incident"`
	Excepted     map[string]string     `json:"excepted_pipelines"` // with the reason
	CloudTrail   *detectTrail          `json:"cloudtrail"`
	Seconds      float64               `json:"seconds"`

	delays []time.Duration
}

// good holds if every rule has found whatever was planted for it, and there was something for each.
func (r *detectReport) good() bool {
	for _, s := range r.Rules {
		if s.Found < s.Planted {
			return false
		}
	}
	return r.Planted > 0 && r.Found == r.Planted && len(r.Unplanted) == 0 && r.FalsePerHour <= falsePerHour && r.CloudTrail.Found
}

// add scores one life.
func (r *detectReport) add(l *life, hours float64, verbose bool) {
	r.Hours, r.Events = r.Hours+hours, r.Events+l.events
	found := make([]map[string]time.Time, len(l.incidents)) // by rule: the first alert
	for i := range found {
		found[i] = map[string]time.Time{}
	}
	for _, a := range l.alerts {
		name, hit := a.Transition.Alert.Name, false
		for i, in := range l.incidents {
			if !tells(&a, &in) {
				continue
			}
			hit = true
			if first, ok := found[i][name]; !ok || a.Transition.At.Before(first) {
				found[i][name] = a.Transition.At
			}
		}
		r.count(&a, hit)
		if verbose && !hit {
			progress("seed %d: false alert %s at %s %v: %s", l.seed, name, a.Transition.At.Format(time.TimeOnly), a.Transition.Alert.Labels, a.Transition.Alert.Summary)
		}
	}
	for i, in := range l.incidents {
		if in.To > l.end.Add(-grace) {
			continue
		}
		if !r.incident(&in, found[i]) && verbose {
			progress("seed %d: %s from %s of %v is not found", l.seed, in.Kind, in.From, in.Labels)
		}
	}
}

// tells reports whether the alert is about the incident: one of its signs, in its time, of its victim.
func tells(a *firedAlert, in *generate.Incident) bool {
	s, at := truths()[in.Kind], a.Transition.At
	name := a.Transition.Alert.Name
	if !slices.Contains(s.must, name) && !slices.Contains(s.may, name) || at.Before(in.From.Go()) || at.After(in.To.Go().Add(grace)) {
		return false
	}
	for label, value := range in.Labels {
		if have, ok := a.Transition.Alert.Labels[label]; ok && have != value {
			return false
		}
	}
	return true
}

func (r *detectReport) count(a *firedAlert, hit bool) {
	s := r.Rules[a.Transition.Alert.Name]
	s.Alerts++
	r.Alerts++
	if hit {
		s.True++
		return
	}
	r.False++
}

// incident scores an incident. It is found if one of the rules that must find it did; each is scored on its own too.
func (r *detectReport) incident(in *generate.Incident, by map[string]time.Time) bool {
	r.Planted++
	var first time.Time
	for _, rule := range truths()[in.Kind].must {
		s := r.Rules[rule]
		s.Planted++
		at, ok := by[rule]
		if !ok {
			continue
		}
		s.Found++
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if first.IsZero() {
		return false
	}
	r.Found++
	r.delays = append(r.delays, first.Sub(in.From.Go()))
	return true
}

// finish computes what follows from the counts.
func (r *detectReport) finish() {
	for _, name := range slices.Sorted(maps.Keys(r.Rules)) {
		s := r.Rules[name]
		s.Precision, s.Recall = share(s.True, s.Alerts), share(s.Found, s.Planted)
		if s.Planted == 0 {
			r.Unplanted = append(r.Unplanted, name)
		}
	}
	r.Precision, r.Recall = share(r.Alerts-r.False, r.Alerts), share(r.Found, r.Planted)
	r.FalsePerHour = float64(r.False) / r.Hours
	if len(r.delays) > 0 {
		slices.Sort(r.delays)
		r.DelaySeconds = r.delays[len(r.delays)/2].Seconds()
	}
}

// tell says how each rule did, for people.
func (r *detectReport) tell() {
	for _, name := range slices.Sorted(maps.Keys(r.Rules)) {
		s := r.Rules[name]
		progress("%s: %d of %d found, %d of %d alerts false", name, s.Found, s.Planted, s.Alerts-s.True, s.Alerts)
	}
	for _, name := range r.Unplanted {
		progress("%s: nothing was planted for it: plant it in sources/generate, and name it in truths; or the life was too short", name)
	}
}

func share(part, of int) *float64 {
	if of == 0 {
		return nil
	}
	v := float64(part) / float64(of)
	return &v
}
