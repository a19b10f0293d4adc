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
//
// Beside the bytes it notes where they may be cut into blocks, so that what has not changed since the snapshot before is found
// again in equal blocks, though something in front of it has grown or gone. That is no part of the layout.
type StateWriter struct {
	buf   []byte
	begin int // of the body of the section that is being written
	open  bool
	names []string
	scope string
	cuts  []int // where a block begins, beside 0
}

var (
	stateMagic = []byte("TWS1")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// A block has BlockSize bytes unless a cut ends it; a cut that would make one of less than leastBlock is not taken, but for the
// begin and the end of a long column.
const (
	BlockSize  = 16 << 10
	leastBlock = 4 << 10
)

// NewStateWriter returns an empty snapshot.
func NewStateWriter() *StateWriter { return &StateWriter{buf: slices.Clone(stateMagic)} }

// Grow makes room for a snapshot of so many bytes, when it is known about how large it will be.
func (w *StateWriter) Grow(bytes int) { w.buf = slices.Grow(w.buf, max(bytes-len(w.buf), 0)) }

// Scope puts prefix before the names of the sections that follow, so that two operators may use the same names.
func (w *StateWriter) Scope(prefix string) { w.scope = prefix }

// Section starts a section; what is appended from now on is its body. Names are unique within a snapshot.
func (w *StateWriter) Section(name string, version uint64) {
	w.end()
	name = w.scope + name
	if slices.Contains(w.names, name) {
		panic("state section written twice: " + name)
	}
	w.names = append(w.names, name)
	w.Cut()
	w.buf = appendBlob(w.buf, []byte(name))
	w.buf = binary.AppendUvarint(w.buf, version)
	w.buf = append(w.buf, make([]byte, lengthBytes)...)
	w.begin, w.open = len(w.buf), true
}

// lengthBytes is what the length of a body takes: it is written when the body is complete, so it has bytes to spare.
const lengthBytes = 6

func (w *StateWriter) end() {
	if !w.open {
		return
	}
	body := w.buf[w.begin:]
	at := w.buf[w.begin-lengthBytes:][:lengthBytes]
	n := len(body)
	for i := range at {
		at[i] = byte(n) | 0x80
		n >>= 7
	}
	at[lengthBytes-1] &^= 0x80
	w.buf = binary.LittleEndian.AppendUint32(w.buf, crc32.Checksum(body, castagnoli))
	w.open = false
}

func appendBlob(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// Cut says that what follows stays the same more often than it stays where it is. It costs nothing and changes no byte.
func (w *StateWriter) Cut() {
	if len(w.buf)-w.lastCut() >= leastBlock {
		w.cuts = append(w.cuts, len(w.buf))
	}
}

func (w *StateWriter) lastCut() int {
	if n := len(w.cuts); n > 0 {
		return w.cuts[n-1]
	}
	return 0
}

// Uint appends an unsigned varint.
func (w *StateWriter) Uint(v uint64) { w.buf = binary.AppendUvarint(w.buf, v) }

// Int appends a signed varint.
func (w *StateWriter) Int(v int64) { w.buf = binary.AppendVarint(w.buf, v) }

// Float appends eight bytes.
func (w *StateWriter) Float(v float64) {
	w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(v))
}

// Bytes appends a length and the bytes.
func (w *StateWriter) Bytes(b []byte) { w.buf = appendBlob(w.buf, b) }

// Text appends a string like Bytes.
func (w *StateWriter) Text(s string) {
	w.buf = binary.AppendUvarint(w.buf, uint64(len(s)))
	w.buf = append(w.buf, s...)
}

// Ints appends a length and fixed eight-byte values.
func (w *StateWriter) Ints(v []int64) {
	at := w.column(len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint64(at[8*i:], uint64(x))
	}
}

// Floats appends a length and eight bytes a value.
func (w *StateWriter) Floats(v []float64) {
	at := w.column(len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint64(at[8*i:], math.Float64bits(x))
	}
}

// Every appends each stride-th word from the first on, in the form of Ints.
func (w *StateWriter) Every(words []uint64, first, stride int) {
	n := 0
	if len(words) > first {
		n = (len(words) - first + stride - 1) / stride
	}
	at := w.column(n)
	for i := range n {
		binary.LittleEndian.PutUint64(at[8*i:], words[first+i*stride])
	}
}

// column appends the length of n values and room for them. A long one has blocks of its own, so that it does not matter to
// them how long what stands before it is.
func (w *StateWriter) column(n int) []byte {
	w.Uint(uint64(n))
	long := 8*n >= leastBlock
	if long && len(w.buf) > w.lastCut() {
		w.cuts = append(w.cuts, len(w.buf))
	}
	w.buf = slices.Grow(w.buf, 8*n)[:len(w.buf)+8*n]
	if long {
		w.cuts = append(w.cuts, len(w.buf))
	}
	return w.buf[len(w.buf)-8*n:]
}

// Finish returns the snapshot. The writer must not be used afterwards.
func (w *StateWriter) Finish() []byte {
	w.end()
	return w.buf
}

// Blocks returns where each block of the finished snapshot ends; the last one ends where the snapshot does.
func (w *StateWriter) Blocks() (ends []int) {
	from := 0
	for _, to := range append(w.cuts, len(w.buf)) {
		for ; to-from > BlockSize; from += BlockSize {
			ends = append(ends, from+BlockSize)
		}
		if to > from {
			ends = append(ends, to)
		}
		from = to
	}
	return ends
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
	b := r.take(8 * len(v))
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return v
}

// Floats reads what StateWriter.Floats wrote.
func (r *StateReader) Floats() []float64 {
	v := make([]float64, r.Len(8))
	b := r.take(8 * len(v))
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return v
}

// Column reads what StateWriter.Ints or Every wrote, without a copy: eight bytes a value, little-endian.
func (r *StateReader) Column() (values []byte) {
	return r.take(8 * r.Len(8))
}
