package pipelines

import "github.com/goccy/go-yaml/ast"

func sinkKinds() []string {
	return []string{string(RedisSink), string(ParquetSink), string(KafkaSink), string(ConsoleSink)}
}

// sinks reads `{redis: {of: …}, …}`; a kind may have a list of sinks.
func (r *reader) sinks(n ast.Node) (sinks []Sink) {
	m := r.mapping(n, "`sinks`")
	for _, kind := range sinkKinds() {
		v := m.get(kind)
		if v == nil {
			continue
		}
		nodes := []ast.Node{v}
		if seq, ok := v.(*ast.SequenceNode); ok {
			if nodes = seq.Values; len(nodes) == 0 {
				r.report(posOf(v), 1, "the list of %s sinks is empty", kind)
			}
		}
		for _, node := range nodes {
			sinks = append(sinks, r.sink(node, SinkKind(kind)))
		}
	}
	m.done()
	return sinks
}

func (r *reader) sink(n ast.Node, kind SinkKind) Sink {
	m := r.mapping(n, "the "+string(kind)+" sink")
	s := Sink{At: m.at, Kind: kind}
	if v := m.need("of", "the steps whose rows it takes"); v != nil {
		s.Of = r.texts(v, "`of`")
	}
	switch kind {
	case RedisSink:
		s.Keep = r.duration(m.get("keep"), "`keep`")
	case KafkaSink:
		s.Topic = r.optional(m.get("topic"), "`topic`")
		s.Transaction = r.flag(m.get("transaction"), "`transaction`")
	case ParquetSink, ConsoleSink:
	}
	m.done()
	return s
}
