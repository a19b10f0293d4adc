package serve

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// examples are true answers: a test sends the requests of the table and compares.
//
//go:embed examples
var examples embed.FS

// object is a JSON object of the document. Its keys are sorted when it is written, so the document is the same every time.
type object = map[string]any

// OpenAPI describes the API as OpenAPI 3.1, made from the table of routes and the Go types of bodies.
func OpenAPI() ([]byte, error) {
	b := &documenter{schemas: object{}}
	paths := object{}
	all := routes()
	for i := range all {
		r := &all[i]
		operations, _ := paths[r.path()].(object)
		if operations == nil {
			operations = object{}
			paths[r.path()] = operations
		}
		op, err := b.operation(r)
		if err != nil {
			return nil, err
		}
		operations[strings.ToLower(r.Method)] = op
	}
	paths[livePath] = object{"get": b.live()}
	b.schema(reflect.TypeFor[Problem]())
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Tidewatch", "version": "2", "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "Rollups, alerts, dead letters and the state of pipelines. Times are RFC 3339 in UTC; in points the first column is epoch milliseconds.",
		},
		"servers": []any{object{"url": "/"}}, "paths": paths,
		"security": []any{object{"token": []any{}}, object{"session": []any{}}, object{}},
		"components": object{
			"schemas": b.schemas,
			"securitySchemes": object{
				"token":   object{"type": "http", "scheme": "bearer", "description": "A token of http.tokens. Not needed on loopback without tokens."},
				"session": object{"type": "apiKey", "in": "cookie", "name": sessionCookie},
			},
		},
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write openapi document: %w", err)
	}
	return append(text, '\n'), nil
}

// documenter gathers the schemas that are referred to.
type documenter struct{ schemas object }

func (b *documenter) operation(r *route) (object, error) {
	op := object{"operationId": r.ID, "summary": r.Summary, "tags": []any{r.Tag}, "responses": object{}}
	if about := aboutOf(r); about != "" {
		op["description"] = about
	}
	if r.Role == RoleNone {
		op["security"] = []any{}
	}
	if params := b.parameters(r); len(params) > 0 {
		op["parameters"] = params
	}
	if r.Body != nil {
		media := object{"schema": b.schema(reflect.TypeOf(r.Body))}
		if shown := requestExamples(r); len(shown) > 0 {
			media["examples"] = shown
		}
		op["requestBody"] = object{"required": true, "content": object{"application/json": media}}
	}
	responses := op["responses"].(object)
	for _, a := range r.Answers {
		responses[strconv.Itoa(a.Status)] = b.response(a)
	}
	responses["default"] = object{
		"description": "What went wrong.", "content": object{"application/problem+json": object{"schema": b.schema(reflect.TypeFor[Problem]())}},
	}
	return op, addExamples(r, responses)
}

func aboutOf(r *route) string {
	parts := []string{}
	if r.About != "" {
		parts = append(parts, r.About)
	}
	if r.Role != RoleNone {
		parts = append(parts, "Role: "+string(r.Role)+".")
	}
	switch r.Live {
	case liveSeries:
		parts = append(parts, "Can be subscribed to: a snapshot, then what changes.")
	case liveWhole:
		parts = append(parts, "Can be subscribed to: the answer whenever it has changed.")
	case notLive:
	}
	return strings.Join(parts, " ")
}

func (b *documenter) response(a answerType) object {
	out := object{"description": a.About}
	switch {
	case a.Body != nil:
		out["content"] = object{"application/json": object{"schema": b.schema(reflect.TypeOf(a.Body))}}
	case a.Status == 200:
		out["content"] = object{"application/json": object{"schema": object{"type": "object"}}}
	}
	return out
}

func (b *documenter) parameters(r *route) (out []any) {
	for i := range r.Params {
		p := &r.Params[i]
		schema := object{"type": p.Kind}
		if len(p.Values) > 0 {
			schema["enum"] = p.Values
		}
		param := object{"name": p.Name, "in": "query", "description": p.describe(), "schema": schema}
		if p.In == "path" {
			param["in"], param["required"] = "path", true
		}
		if p.Repeat {
			param["schema"] = object{"type": "array", "items": schema}
			param["explode"] = true
		}
		out = append(out, param)
		if p.Alias != "" {
			alias := object{"description": "The same as " + p.Name + ".", "deprecated": false}
			for k, v := range param {
				if k != "description" {
					alias[k] = v
				}
			}
			alias["name"] = p.Alias
			out = append(out, alias)
		}
	}
	return out
}

func (p *param) describe() string {
	if p.Default != "" {
		return p.About + " Default: " + p.Default + "."
	}
	return p.About
}

func (b *documenter) live() object {
	return object{
		"operationId": "live", "summary": "WebSocket: subscribe to paths", "tags": []any{"live"},
		"description": "Client: {\"op\":\"subscribe\",\"id\":ID,\"path\":PATH} and {\"op\":\"unsubscribe\",\"id\":ID}. Server: hello, snapshot, delta, error, bye. " +
			"A delta with seq n applies to the state n-1; a snapshot replaces everything. Role: read.",
		"responses": object{"101": object{"description": "The connection is a WebSocket now."}},
	}
}

func requestExamples(r *route) object {
	out := object{}
	for _, e := range r.Examples {
		if e.Body != "" {
			out[e.Name] = object{"value": json.RawMessage(e.Body)}
		}
	}
	return out
}

// addExamples puts the true answers beside their types.
func addExamples(r *route, responses object) error {
	for _, e := range r.Examples {
		body, err := examples.ReadFile("examples/" + e.Name + ".json")
		if err != nil {
			continue // not written yet: the test that sends the requests writes it
		}
		if !json.Valid(body) {
			return fmt.Errorf("example %s is no JSON", e.Name)
		}
		response, ok := responses[strconv.Itoa(e.Want)].(object)
		kind := "application/json"
		if !ok {
			response, kind = responses["default"].(object), "application/problem+json"
		}
		media := response["content"].(object)[kind].(object)
		shown, _ := media["examples"].(object)
		if shown == nil {
			shown = object{}
			media["examples"] = shown
		}
		summary := r.Method + " " + e.Path
		if !r.Root {
			summary = r.Method + " " + APIBase + e.Path
		}
		if e.About != "" {
			summary = e.About + " " + summary
		}
		shown[e.Name] = object{"summary": summary, "value": json.RawMessage(body)}
	}
	return nil
}

// schema describes a Go type as encoding/json writes it. Named structs of ours go into components.
func (b *documenter) schema(t reflect.Type) object {
	if known := specialSchema(t); known != nil {
		return known
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(b.schema(t.Elem()))
	case reflect.Struct:
		return b.structure(t)
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": b.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": b.schema(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return object{"type": "integer"}
	default:
		panic("openapi: no schema for " + t.String())
	}
}

// structure puts the struct into components, once, and refers to it.
func (b *documenter) structure(t reflect.Type) object {
	ref := object{"$ref": "#/components/schemas/" + t.Name()}
	if _, done := b.schemas[t.Name()]; done {
		return ref
	}
	properties, required := object{}, []string{}
	b.schemas[t.Name()] = object{"type": "object", "properties": properties} // before its fields: types may hold themselves
	b.fields(t, properties, &required)
	slices.Sort(required)
	if len(required) > 0 {
		b.schemas[t.Name()].(object)["required"] = required
	}
	return ref
}

func (b *documenter) fields(t reflect.Type, properties object, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			b.fields(f.Type, properties, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		schema := b.schema(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			described := object{"description": doc}
			maps.Copy(described, schema)
			schema = described
		}
		properties[name] = schema
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			*required = append(*required, name)
		}
	}
}

func nullable(s object) object {
	if kind, ok := s["type"].(string); ok {
		out := object{}
		maps.Copy(out, s)
		out["type"] = []any{kind, "null"}
		return out
	}
	return object{"anyOf": []any{s, object{"type": "null"}}}
}
