package devstack

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
)

// maxRequest bounds a request to the broker, as Kafka's `socket.request.max.bytes` does. The embedded broker believes the
// length that a client sends and takes memory for it: a browser that is pointed at its port says "GET ", which is 1.2 GB.
const maxRequest = 100 << 20

// bounded is a listener whose connections carry requests of Kafka's framing, four bytes of length and so many more, and
// end with an error at a request that is too large.
type bounded struct {
	net.Listener
	log *slog.Logger
}

// Accept implements net.Listener.
func (l bounded) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &requests{Conn: conn, log: l.log}, nil
}

// requests checks the lengths on the way. It is read by one goroutine.
type requests struct {
	net.Conn
	log    *slog.Logger
	length [4]byte
	have   int    // bytes of length
	left   uint32 // of the request
}

// Read implements net.Conn.
func (r *requests) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.left > 0 {
		n, err := r.Conn.Read(p[:min(len(p), int(r.left))])
		r.left -= uint32(n)
		return n, err
	}
	n, err := r.Conn.Read(p[:min(len(p), len(r.length)-r.have)])
	r.have += copy(r.length[r.have:], p[:n])
	if r.have < len(r.length) {
		return n, err
	}
	r.have, r.left = 0, binary.BigEndian.Uint32(r.length[:])
	if r.left > maxRequest {
		r.log.Warn("a client of the embedded Kafka does not speak its protocol, or sends too large a request",
			"client", r.RemoteAddr().String(), "bytes", r.left)
		return 0, fmt.Errorf("read request: %d bytes, at most %d are taken", r.left, maxRequest)
	}
	return n, err
}
