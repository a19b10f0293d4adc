package columnfile

import "github.com/tidewatch/tidewatch/stream"

// Producers finds the producer's hash of an event in its columns, as decoders find it in the record: the first of producer,
// host and service that has a name. It belongs to one goroutine and one set of columns.
type Producers struct {
	columns [3]*stream.Column
	hashes  [3][]uint64 // by the column's dictionary number
}

// ProducerColumns are asked for the producer, in this order.
func ProducerColumns() []string { return []string{"producer", "host", "service"} }

// NewProducers takes the columns from find, which returns nil for one that there is not.
func NewProducers(find func(name string) *stream.Column) *Producers {
	p := &Producers{}
	for i, name := range ProducerColumns() {
		if c := find(name); c != nil {
			p.columns[i] = c
			for id := range c.Dict.Len() {
				p.hashes[i] = append(p.hashes[i], hashName(c.Dict.Bytes(uint32(id))))
			}
		}
	}
	return p
}

// hashName is 0 for the empty name, which is none.
func hashName(name []byte) uint64 {
	if len(name) == 0 {
		return 0
	}
	return stream.HashProducer(name)
}

// Hash is the hash for row i, 0 if there is no name.
func (p *Producers) Hash(i int) uint64 {
	for k, c := range p.columns {
		if c == nil || c.IsNull(i) {
			continue
		}
		if h := p.hashes[k][c.IDs[i]]; h != 0 {
			return h
		}
	}
	return 0
}
