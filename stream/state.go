package stream

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

// StateWriter builds a snapshot out of named, versioned sections. It is used from the task's goroutine.
//
// Layout: "TWS1", then per section: name, version, length, body, CRC-32C of the body. Numbers are unsigned varints,
// names have a length before them. A reader finds sections by name, so new ones may be added; the body's layout belongs
// to whoever wrote the section, under its version.
type StateWriter struct {
	buf   []byte
	body  []byte
	name  string
	ver   uint64
	names []string
	scope string
}

var (
	stateMagic = []byte("TWS1")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// NewStateWriter returns an empty snapshot.
func NewStateWriter() *StateWriter { return &StateWriter{buf: slices.Clone(stateMagic)} }

// Scope puts prefix before the names of the sections that follow, so that two operators may use the same names.
func (w *StateWriter) Scope(prefix string) { w.scope = prefix }

// Section starts a section; what is appended from now on is its body. Names are unique within a snapshot.
func (w *StateWriter) Section(name string, version uint64) {
	w.end()
	w.name, w.ver = w.scope+name, version
	if slices.Contains(w.names, w.name) {
		panic("state section written twice: " + w.name)
	}
	w.names = append(w.names, w.name)
}

func (w *StateWriter) end() {
	if w.name == "" {
		return
	}
	w.buf = appendBlob(w.buf, []byte(w.name))
	w.buf = binary.AppendUvarint(w.buf, w.ver)
	w.buf = appendBlob(w.buf, w.body)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, crc32.Checksum(w.body, castagnoli))
	w.name, w.body = "", w.body[:0]
}

func appendBlob(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// Uint appends an unsigned varint.
func (w *StateWriter) Uint(v uint64) { w.body = binary.AppendUvarint(w.body, v) }

// Int appends a signed varint.
func (w *StateWriter) Int(v int64) { w.body = binary.AppendVarint(w.body, v) }

// Float appends eight bytes.
func (w *StateWriter) Float(v float64) {
	w.body = binary.LittleEndian.AppendUint64(w.body, math.Float64bits(v))
}

// Bytes appends a length and the bytes.
func (w *StateWriter) Bytes(b []byte) { w.body = appendBlob(w.body, b) }

// Text appends a string like Bytes.
func (w *StateWriter) Text(s string) {
	w.body = binary.AppendUvarint(w.body, uint64(len(s)))
	w.body = append(w.body, s...)
}

// Ints appends a length and fixed eight-byte values.
func (w *StateWriter) Ints(v []int64) {
	w.Uint(uint64(len(v)))
	for _, x := range v {
		w.body = binary.LittleEndian.AppendUint64(w.body, uint64(x))
	}
}

// Floats appends a length and eight bytes a value.
func (w *StateWriter) Floats(v []float64) {
	w.Uint(uint64(len(v)))
	for _, x := range v {
		w.Float(x)
	}
}

// Finish returns the snapshot. The writer must not be used afterwards.
func (w *StateWriter) Finish() []byte {
	w.end()
	return w.buf
}

// StateReader reads a snapshot. After a failed read every further one returns zero values and Err tells why.
type StateReader struct {
	sections map[string]section
	body     []byte
	name     string
	scope    string
	err      error
}

type section struct {
	version uint64
	body    []byte
}

// NewStateReader checks the layout and all checksums. A damaged snapshot is an error that names the section.
func NewStateReader(data []byte) (*StateReader, error) {
	if len(data) < len(stateMagic) || string(data[:len(stateMagic)]) != string(stateMagic) {
		return nil, fmt.Errorf("read state: it does not begin with %s", stateMagic)
	}
	r := &StateReader{sections: map[string]section{}}
	for rest := (&StateReader{body: data[len(stateMagic):], name: "header"}); len(rest.body) > 0; {
		name, version, body := string(rest.Bytes()), rest.Uint(), rest.Bytes()
		sum := rest.take(4)
		if rest.err != nil {
			return nil, rest.err
		}
		if binary.LittleEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
			return nil, fmt.Errorf("read state: section %s is damaged: its checksum differs", name)
		}
		r.sections[name] = section{version, body}
	}
	return r, nil
}

// Scope is StateWriter.Scope for reading.
func (r *StateReader) Scope(prefix string) { r.scope = prefix }

// Section begins to read the section and returns the version it was written with; ok is false if there is none.
func (r *StateReader) Section(name string) (version uint64, ok bool) {
	s, ok := r.sections[r.scope+name]
	r.name, r.body = r.scope+name, s.body
	return s.version, ok
}

// Err is the first error, nil if all reads were good.
func (r *StateReader) Err() error { return r.err }

func (r *StateReader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("read state: section %s ends too early", r.name)
	}
	r.body = nil
}

func (r *StateReader) take(n int) []byte {
	if n < 0 || n > len(r.body) {
		r.fail()
		return make([]byte, min(max(n, 0), 8))
	}
	b := r.body[:n:n]
	r.body = r.body[n:]
	return b
}

// Uint reads an unsigned varint.
func (r *StateReader) Uint() uint64 {
	v, n := binary.Uvarint(r.body)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.body = r.body[n:]
	return v
}

// Int reads a signed varint.
func (r *StateReader) Int() int64 {
	v, n := binary.Varint(r.body)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.body = r.body[n:]
	return v
}

// Float reads eight bytes.
func (r *StateReader) Float() float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(r.take(8)))
}

// Bytes reads a length and bytes. The slice is part of the snapshot: copy it to change it.
func (r *StateReader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.body)) {
		r.fail()
		return nil
	}
	return r.take(int(n))
}

// Text reads a string.
func (r *StateReader) Text() string { return string(r.Bytes()) }

// Len reads a length of elements of at least size bytes each, and refuses one that the section cannot hold.
func (r *StateReader) Len(size int) int {
	n := r.Uint()
	if n > uint64(len(r.body)/max(size, 1)) {
		r.fail()
		return 0
	}
	return int(n)
}

// Ints reads what StateWriter.Ints wrote.
func (r *StateReader) Ints() []int64 {
	v := make([]int64, r.Len(8))
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(r.take(8)))
	}
	return v
}

// Floats reads what StateWriter.Floats wrote.
func (r *StateReader) Floats() []float64 {
	v := make([]float64, r.Len(8))
	for i := range v {
		v[i] = r.Float()
	}
	return v
}
