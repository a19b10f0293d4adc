package schemas

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/stream"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files instead of comparing with them")

func cloudTrail(t testing.TB, fields ...string) *CloudTrail {
	t.Helper()
	d, err := NewCloudTrail(definition(t, "security"), fields, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func trailSample(t testing.TB) [][]byte {
	t.Helper()
	data, err := os.ReadFile("testdata/cloudtrail.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

func TestMapsCloudTrail(t *testing.T) {
	names := definition(t, "security").Names()
	d := cloudTrail(t, append(names[:len(names)-1:len(names)-1], "attributes.eventID", "attributes.userIdentity.type")...)
	b := stream.NewBatch(d.Schema())
	var got strings.Builder
	for i, text := range trailSample(t) {
		if err := d.Decode(&stream.Message{Offset: int64(i), Timestamp: now, Value: text}, b); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		got.WriteString(strings.Join(values(b, i), "\n  ") + "\n")
	}
	if *rewrite {
		if err := os.WriteFile("testdata/cloudtrail.golden", []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/cloudtrail.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the mapping has changed; see the difference after go test -run MapsCloudTrail -rewrite")
	}
}

// oracleTrail is the mapping once more, over maps.
func oracleTrail(text []byte) map[string]any {
	var top map[string]any
	if err := json.Unmarshal(text, &top); err != nil {
		panic(err)
	}
	at := func(path string) any {
		var v any = top
		for name := range strings.SplitSeq(path, ".") {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		return v
	}
	first := func(paths ...string) any {
		for _, p := range paths {
			if v := at(p); v != nil && v != "" {
				return v
			}
		}
		return nil
	}
	row := map[string]any{
		"user":       first("userIdentity.userName", "userIdentity.arn", "userIdentity.principalId", "userIdentity.invokedBy", "userIdentity.accountId"),
		"src_ip":     at("sourceIPAddress"),
		"service":    at("eventSource"),
		"operation":  at("eventName"),
		"account":    first("recipientAccountId", "userIdentity.accountId"),
		"region":     at("awsRegion"),
		"user_agent": at("userAgent"),
		"error":      first("errorCode", "errorMessage"),
		"status":     "success",
		"mfa":        nil,
		"resource":   nil,
	}
	if row["error"] != nil || at("responseElements.ConsoleLogin") == "Failure" {
		row["status"] = "failure"
	}
	switch first("userIdentity.sessionContext.attributes.mfaAuthenticated", "additionalEventData.MFAUsed") {
	case "true", "Yes", true:
		row["mfa"] = true
	case "false", "No", false:
		row["mfa"] = false
	}
	if list, ok := at("resources").([]any); ok && len(list) > 0 {
		if m, ok := list[0].(map[string]any); ok {
			row["resource"] = m["ARN"]
		}
	}
	return row
}

// checkTrail compares a record that decodes with the oracle.
func checkTrail(t *testing.T, d *CloudTrail, text []byte) {
	t.Helper()
	got := decoded(t, d, text)
	if got.code != "" {
		if !json.Valid(text) != (got.code == InvalidJSON) && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
			t.Errorf("%s: got %s", text, got.code)
		}
		return
	}
	for name, want := range oracleTrail(text) {
		if got.row[name] != want {
			t.Errorf("%s: got %s %v, want %v", text, name, got.row[name], want)
		}
	}
}

func trailFields() []string {
	return []string{"user", "src_ip", "service", "operation", "account", "region", "user_agent", "error", "status", "mfa", "resource"}
}

func TestMapsCloudTrailAsTheOracle(t *testing.T) {
	for _, text := range trailSample(t) {
		checkTrail(t, cloudTrail(t, trailFields()...), text)
	}
}

func FuzzCloudTrail(f *testing.F) {
	for _, text := range trailSample(f) {
		f.Add(text)
	}
	for _, rest := range []string{
		`"userIdentity":{"userName":"a"},"userIdentity":{"arn":"b"}`, `"userIdentity":{"userName":"a"},"userIdentity":null`, `"userIdentity":[]`,
		`"userIdentity":{"sessionContext":{"attributes":{"mfaAuthenticated":true}}}`, `"userIdentity":{"sessionContext":3,"userName":""}`,
		`"resources":[]`, `"resources":[1,{"ARN":"x"}]`, `"resources":[{"ARN":"x"},{"ARN":"y"}]`, `"resources":{"ARN":"x"}`, `"resources":[{"ARN":"x"}],"resources":[{}]`, `"resources":[{"ARN":"x"},]`,
		`"responseElements":{"ConsoleLogin":"Failure"}`, `"responseElements":"x"`, `"awsRegion":1`, `"errorMessage":"","errorCode":"x\ny"`, `"additionalEventData":{"MFAUsed":"No"}`,
	} {
		f.Add([]byte(`{"eventTime":"2023-07-10T11:42:36Z","eventSource":"s3.amazonaws.com","eventName":"GetObject",` + rest + `}`))
	}
	d, bare := cloudTrail(f, trailFields()...), cloudTrail(f, "attributes", "attributes.requestParameters.bucketName")
	f.Fuzz(func(t *testing.T, text []byte) {
		checkTrail(t, d, text)
		if got, want := decoded(t, bare, text), decoded(t, d, text); got.code != want.code || got.time != want.time || got.producer != want.producer {
			t.Errorf("%q: the projection changes the verdict: %v, %v", text, got, want)
		}
	})
}

func TestClassifiesOperations(t *testing.T) {
	for _, c := range []struct{ source, name, rest, want string }{
		{"signin.amazonaws.com", "ConsoleLogin", `"readOnly":false`, "class=authentication activity=logon"},
		{"sts.amazonaws.com", "AssumeRoleWithSAML", `"readOnly":true`, "class=authentication activity=logon"},
		{"sts.amazonaws.com", "AssumeRoot", `"a":1`, "class=authentication activity=logon"},
		{"sts.amazonaws.com", "GetSessionToken", `"a":1`, "class=authentication activity=logon"},
		{"sts.amazonaws.com", "GetCallerIdentity", `"a":1`, "class=api_activity activity=read"},
		{"iam.amazonaws.com", "UpdateAssumeRolePolicy", `"readOnly":false`, "class=api_activity activity=update"},
		{"ec2.amazonaws.com", "RunInstances", `"a":1`, "class=api_activity activity=create"},
		{"ec2.amazonaws.com", "StopInstances", `"a":1`, "class=api_activity activity=other"},
		{"cloudtrail.amazonaws.com", "DeleteTrail", `"a":1`, "class=api_activity activity=delete"},
		{"x.amazonaws.com", "StartQuery", `"readOnly":"true"`, "class=api_activity activity=read"},
		{"x.amazonaws.com", "", `"a":1`, "class=api_activity activity=other"},
	} {
		text := `{"eventTime":"2023-07-10T11:42:36Z","eventSource":"` + c.source + `","eventName":"` + c.name + `",` + c.rest + `}`
		if got := decodeOne(t, cloudTrail(t, "class", "activity"), text); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.source, c.name, got, c.want)
		}
	}
}

func TestCloudTrailAttributesAreWhatIsNotMapped(t *testing.T) {
	d := cloudTrail(t, "attributes", "attributes.requestParameters.bucketName", "attributes.requestParameters")
	got := decodeOne(t, d, `{"eventTime":"2023-07-10T11:42:36Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"r","sourceIPAddress":null,
		"requestParameters":{"bucketName":"b", "n":[1, 2]},"eventID":"e","responseElements":null,"userIdentity":{"userName":"u"}}`)
	want := `attributes={"eventID":"e","requestParameters":{"bucketName":"b","n":[1,2]},"userIdentity":{"userName":"u"}} ` +
		`attributes.requestParameters.bucketName=b attributes.requestParameters={"bucketName":"b","n":[1,2]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCloudTrailRejects(t *testing.T) {
	for text, want := range map[string]string{
		`{"eventTime":"2023-07-10T11:42:36Z","eventSource":"s"}`:                                      "missing_field: eventName",
		`{"eventSource":"s","eventName":"n"}`:                                                         "missing_field: eventTime",
		`{"eventTime":"noon","eventSource":"s","eventName":"n"}`:                                      `invalid_time: eventTime: "noon" is neither RFC 3339 nor a number`,
		`{"eventTime":"2023-07-10T11:42:36Z","eventSource":"s","eventName":"n","userIdentity":"u"}`:   "wrong_type: userIdentity: want an object, got a string",
		`{"eventTime":"2023-07-10T11:42:36Z","eventSource":"s","eventName":"n","awsRegion":["eu"]}`:   "wrong_type: awsRegion: want string, got an array",
		`{"eventTime":"2023-07-10T11:42:36Z","eventSource":"s","eventName":"n","userAgent":"x}`:       "invalid_json: the text ends too early, after 85 bytes",
		`{"eventTime":"1999-07-10T11:42:36Z","eventSource":"s","eventName":"n"}`:                      "time_too_old: eventTime: 1999-07-10T11:42:36Z is before the year 2000",
		`{"eventTime":"2023-07-10T11:42:36Z","eventSource":"s","eventName":"n","resources":[{"A":1}}`: "invalid_json: unexpected '}' at byte 90",
	} {
		if got := decodeOne(t, cloudTrail(t), text); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
	if _, err := NewCloudTrail(definition(t, "metric"), nil, DefaultOptions()); err == nil {
		t.Error("rows of metrics were promised")
	}
}

func BenchmarkCloudTrail(b *testing.B) {
	benchmark(b, cloudTrail(b, "class", "operation", "user", "src_ip", "status"), trailSample(b))
}
