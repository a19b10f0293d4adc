package stream

// Kind is the type of a column.
type Kind uint8

// The column kinds. Timestamps are Ints in nanoseconds since the epoch with Kind Timestamp, so that files and answers
// show them as instants.
const (
	Int Kind = iota + 1
	Float
	Bool
	String
	Timestamp
)

var kindNames = [...]string{Int: "int", Float: "float", Bool: "bool", String: "string", Timestamp: "timestamp"}

// String is the name used in schema files and messages.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// KindOf is the kind with that name, or 0.
func KindOf(name string) Kind {
	for k, n := range kindNames {
		if n == name && n != "" {
			return Kind(k)
		}
	}
	return 0
}

// Field is one named column.
type Field struct {
	Name string
	Kind Kind
}

// Schema names the columns of a batch. It is shared and never changed after its first use.
type Schema struct{ Fields []Field }

// Index is the position of the field, or -1.
func (s *Schema) Index(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// Names lists the field names in order, for messages that suggest one.
func (s *Schema) Names() []string {
	names := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		names[i] = f.Name
	}
	return names
}
