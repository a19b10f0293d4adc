package serve

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/tidewatch/tidewatch/alerts"
)

// specialSchema describes types that are not written as their fields are; nil for all others.
func specialSchema(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[Instant]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[Span]():
		return object{"type": "string", "description": "A duration: 10s, 1m30s, 2d.", "examples": []any{"10s"}}
	case reflect.TypeFor[Points]():
		return object{
			"type": "array", "description": "Points, oldest first: [time in ms, value, …] as columns says.",
			"items": object{"type": "array", "items": object{"type": []any{"number", "null"}}},
		}
	case reflect.TypeFor[json.RawMessage]():
		return object{"type": "object", "additionalProperties": true}
	case reflect.TypeFor[alerts.State]():
		return object{"type": "string", "enum": textsOf(alerts.States())}
	case reflect.TypeFor[alerts.Severity]():
		return object{"type": "string", "enum": textsOf(alerts.Severities())}
	case reflect.TypeFor[LetterKind]():
		return object{"type": "string", "enum": textsOf(LetterKinds())}
	case reflect.TypeFor[LetterState]():
		return object{"type": "string", "enum": textsOf(LetterStates())}
	case reflect.TypeFor[Role]():
		return object{"type": "string", "enum": textsOf(Roles())}
	}
	return nil
}
