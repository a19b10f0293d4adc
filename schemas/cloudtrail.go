package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tidewatch/tidewatch/stream"
)

// CloudTrail decodes records of AWS CloudTrail, one JSON object each, as rows of the security event. It belongs to one
// reader and is used from its goroutine. What JSON promises holds for it too.
//
//	time        eventTime
//	class       authentication: sign-in events, and calls that hand out credentials (sts AssumeRole… and the like);
//	            else api_activity
//	activity    logon; or create, read, update, delete, other by readOnly and the verb of eventName
//	status      failure if there is an errorCode, an errorMessage or a failed ConsoleLogin, else success
//	user        userIdentity: userName, else arn, principalId, invokedBy, accountId
//	src_ip      sourceIPAddress, which names a service where a service called
//	service     eventSource, which is the producer too
//	operation   eventName
//	resource    the ARN of the first of resources
//	account     recipientAccountId, else userIdentity.accountId
//	mfa         userIdentity.sessionContext.attributes.mfaAuthenticated, else additionalEventData.MFAUsed
//	region, user_agent, error    awsRegion, userAgent, errorCode or else errorMessage
//
// The other fields are null. The attributes are all top-level members that are not in this list in whole, under AWS's names:
// eventID, userIdentity, requestParameters and so on. One attribute may be taken from further below:
// `attributes.requestParameters.bucketName`.
type CloudTrail struct {
	schema  *stream.Schema
	root    *node
	record  record
	row     row
	paths   [trailPaths]trailPath
	places  [trailPaths]int
	columns []trailColumn
}

// The mapped values of a record.
const (
	trailTime = iota
	trailSource
	trailName
	trailRegion
	trailIP
	trailAgent
	trailCode
	trailMessage
	trailRecipient
	trailIdentity
	trailUserName
	trailARN
	trailPrincipal
	trailInvoker
	trailAccount
	trailMFA
	trailFactor
	trailLogin
	trailResource
	trailReadOnly
	trailPaths
)

// trailPath is where a mapped value stands and what it may be.
type trailPath struct {
	path    string
	accepts tokens
	known   bool // it is mapped in whole, so no attribute
}

func cloudTrailPaths() [trailPaths]trailPath {
	required := setOf(plain, coded)
	text := required | setOf(absent, null)
	flag := text | setOf(truth, falsity)
	return [...]trailPath{
		trailTime:      {"eventTime", required | setOf(number), true},
		trailSource:    {"eventSource", required, true},
		trailName:      {"eventName", required, true},
		trailRegion:    {"awsRegion", text, true},
		trailIP:        {"sourceIPAddress", text, true},
		trailAgent:     {"userAgent", text, true},
		trailCode:      {"errorCode", text, true},
		trailMessage:   {"errorMessage", text, false},
		trailRecipient: {"recipientAccountId", text, true},
		trailIdentity:  {"userIdentity", setOf(object, absent, null), false},
		trailUserName:  {"userIdentity.userName", text, false},
		trailARN:       {"userIdentity.arn", text, false},
		trailPrincipal: {"userIdentity.principalId", text, false},
		trailInvoker:   {"userIdentity.invokedBy", text, false},
		trailAccount:   {"userIdentity.accountId", text, false},
		trailMFA:       {"userIdentity.sessionContext.attributes.mfaAuthenticated", flag, false},
		trailFactor:    {"additionalEventData.MFAUsed", flag, false},
		trailLogin:     {"responseElements.ConsoleLogin", text, false},
		trailResource:  {"resources[].ARN", text, false},
		trailReadOnly:  {"readOnly", flag, false},
	}
}

// trailColumn says what a column shows.
type trailColumn struct {
	field string // of the security event
	place int    // of one attribute in the record
	kind  trailKind
}

type trailKind uint8

const (
	trailField trailKind = iota
	trailAttribute
	trailAttributes
)

// NewCloudTrail makes a decoder; def is the security event, and fields are as at NewJSON.
func NewCloudTrail(def *Definition, fields []string, o Options) (*CloudTrail, error) {
	if def.Name != "security" {
		return nil, fmt.Errorf("make cloudtrail decoder: its rows are those of the schema `security`, not of %s", def)
	}
	schema, err := def.Columns(fields)
	if err := errors.Join(err, o.Validate()); err != nil {
		return nil, fmt.Errorf("make cloudtrail decoder: %w", err)
	}
	d := &CloudTrail{schema: schema, row: row{options: o}, paths: cloudTrailPaths()}
	d.plan()
	d.row.producers = [3]int{-1, -1, d.places[trailSource]}
	return d, nil
}

func (d *CloudTrail) plan() {
	var root branch
	for _, p := range d.paths {
		root.at(p.path).known = p.known
	}
	attributes := make([]*branch, len(d.schema.Fields))
	collects := false
	for i, f := range d.schema.Fields {
		if path, ok := strings.CutPrefix(f.Name, attributePrefix); ok {
			attributes[i] = root.at(path)
		}
		collects = collects || f.Name == AttributesField
	}
	places := 0
	d.root = root.grow(&places)
	d.root.collect, d.root.top = collects, true
	d.record = newRecord(places)
	for i, p := range d.paths {
		d.places[i] = root.at(p.path).place
	}
	for i, f := range d.schema.Fields {
		col := trailColumn{field: f.Name}
		switch {
		case f.Name == AttributesField:
			col.kind = trailAttributes
		case attributes[i] != nil:
			col.kind, col.place = trailAttribute, attributes[i].place
		}
		d.columns = append(d.columns, col)
	}
}

// Schema implements stream.Decoder.
func (d *CloudTrail) Schema() *stream.Schema { return d.schema }

// Decode implements stream.Decoder. Its errors are of the kind Reject, with a Rejection inside.
func (d *CloudTrail) Decode(m *stream.Message, b *stream.Batch) error {
	if b.Len() == 0 {
		d.row.begin(b)
	}
	if err := d.row.judgeSize(m); err != nil {
		return err
	}
	r := &d.record
	if end := r.read(m.Value, d.root); end < 0 {
		return rejectText(m.Value, end)
	}
	if err := d.judge(); err != nil {
		return err
	}
	t, err := d.row.instant(r, d.places[trailTime], d.paths[trailTime].path)
	if err != nil {
		return err
	}
	if err := d.row.judgeTime(t, m, d.paths[trailTime].path); err != nil {
		return err
	}
	for i := range d.columns {
		d.append(&d.columns[i], &b.Cols[i], t)
	}
	d.row.finish(r, t, m, b)
	return nil
}

func (d *CloudTrail) judge() error {
	for i := range d.paths {
		kind := d.record.kinds[d.places[i]]
		if d.paths[i].accepts>>kind&1 == 1 {
			continue
		}
		if kind <= null {
			return reject(MissingField, "%s", d.paths[i].path)
		}
		want := stream.String.String()
		if i == trailIdentity {
			want = tokenNames[object]
		}
		return reject(WrongType, "%s: want %s, got %s", d.paths[i].path, want, tokenNames[kind])
	}
	return nil
}

func (d *CloudTrail) append(from *trailColumn, c *stream.Column, t stream.Time) {
	switch {
	case from.kind == trailAttributes:
		appendOrNull(c, d.record.canonical())
	case from.kind == trailAttribute:
		appendOrNull(c, d.record.at(from.place))
	case from.field == TimeField:
		c.AppendInt(int64(t))
	case from.field == "mfa":
		d.appendMFA(c)
	default:
		d.appendField(from.field, c)
	}
}

// appendField appends one of the texts that the type's comment lists, or null.
func (d *CloudTrail) appendField(field string, c *stream.Column) {
	switch field {
	case "class":
		c.AppendString(d.class())
	case "activity":
		c.AppendString(d.activity())
	case "status":
		c.AppendString(d.status())
	case "user":
		appendOrNull(c, d.firstOf(trailUserName, trailARN, trailPrincipal, trailInvoker, trailAccount))
	case "src_ip":
		appendOrNull(c, d.text(trailIP))
	case serviceField:
		appendOrNull(c, d.text(trailSource))
	case "operation":
		appendOrNull(c, d.text(trailName))
	case "resource":
		appendOrNull(c, d.text(trailResource))
	case "account":
		appendOrNull(c, d.firstOf(trailRecipient, trailAccount))
	case "region":
		appendOrNull(c, d.text(trailRegion))
	case "user_agent":
		appendOrNull(c, d.text(trailAgent))
	case "error":
		appendOrNull(c, d.firstOf(trailCode, trailMessage))
	default:
		c.AppendNull()
	}
}

func (d *CloudTrail) appendMFA(c *stream.Column) {
	switch string(d.firstOf(trailMFA, trailFactor)) {
	case "true", "Yes":
		c.AppendBool(true)
	case "false", "No":
		c.AppendBool(false)
	default:
		c.AppendNull()
	}
}

func (d *CloudTrail) text(value int) []byte { return d.record.at(d.places[value]) }

// firstOf is the first of the values that is there and not empty.
func (d *CloudTrail) firstOf(values ...int) []byte {
	for _, v := range values {
		if text := d.text(v); len(text) > 0 {
			return text
		}
	}
	return nil
}

const (
	authentication = "authentication"
	apiActivity    = "api_activity"
)

// class follows AWS's services: signing in belongs to one, and handing out credentials to a few calls of others.
func (d *CloudTrail) class() string {
	name := d.text(trailName)
	logon := false
	switch string(d.text(trailSource)) {
	case "signin.amazonaws.com":
		logon = true
	case "sts.amazonaws.com":
		logon = bytes.HasPrefix(name, []byte("AssumeRo")) || string(name) == "GetSessionToken" || string(name) == "GetFederationToken"
	case "sso.amazonaws.com":
		logon = string(name) == "Authenticate" || string(name) == "Federate"
	case "rolesanywhere.amazonaws.com":
		logon = string(name) == "CreateSession"
	}
	if logon {
		return authentication
	}
	return apiActivity
}

func (d *CloudTrail) activity() string {
	if d.class() == authentication {
		return "logon"
	}
	if string(d.text(trailReadOnly)) == "true" {
		return "read"
	}
	return verb(d.text(trailName))
}

// verb tells from the first word of an operation what it does; AWS names operations by few verbs.
func verb(operation []byte) string {
	n := 1
	for n < len(operation) && (operation[n] < 'A' || operation[n] > 'Z') {
		n++
	}
	switch string(operation[:min(n, len(operation))]) {
	case "Get", "List", "Describe", "Head", "Lookup", "Search", "Query", "Scan", "Select":
		return "read"
	case "Create", "Run", "Allocate", "Register", "Import", "Request", "Generate":
		return "create"
	case "Delete", "Terminate", "Remove", "Detach", "Disassociate", "Deregister", "Revoke", "Release":
		return "delete"
	case "Update", "Modify", "Put", "Set", "Attach", "Associate", "Add", "Tag", "Untag", "Enable", "Disable", "Change", "Authorize", "Replace":
		return "update"
	}
	return "other"
}

func (d *CloudTrail) status() string {
	if d.firstOf(trailCode, trailMessage) != nil || string(d.text(trailLogin)) == "Failure" {
		return "failure"
	}
	return "success"
}
