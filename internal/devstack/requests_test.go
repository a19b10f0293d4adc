package devstack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"

	"pgregory.net/rapid"
)

// scripted is a connection that gives its bytes in portions of random size.
type scripted struct {
	net.Conn
	t    *rapid.T
	data *bytes.Reader
}

func (s *scripted) Read(p []byte) (int, error) {
	return s.data.Read(p[:rapid.IntRange(1, len(p)).Draw(s.t, "portion")])
}

func (s *scripted) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// TestRequestsAreBounded: requests of any size up to the limit pass unchanged, whatever the sizes of reads; the length of a
// larger one does not arrive.
func TestRequestsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var good []byte
		for range rapid.IntRange(0, 6).Draw(t, "requests") {
			body := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "body")
			good = append(binary.BigEndian.AppendUint32(good, uint32(len(body))), body...)
		}
		all := good
		tooLarge := rapid.Bool().Draw(t, "too large")
		if tooLarge {
			all = append(bytes.Clone(good), "GET / HTTP/1.1\r\n"...)
		}
		r := &requests{Conn: &scripted{t: t, data: bytes.NewReader(all)}, log: slog.New(slog.DiscardHandler)}
		var got []byte
		for {
			p := make([]byte, rapid.IntRange(1, 50).Draw(t, "read"))
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if err == nil {
				continue
			}
			if errors.Is(err, io.EOF) == tooLarge {
				t.Fatalf("too large: %v, but it ends with %v", tooLarge, err)
			}
			break
		}
		if tooLarge && len(got) >= len(good)+4 || !bytes.HasPrefix(got, good) || !tooLarge && len(got) != len(good) {
			t.Fatalf("arrived: %q, want %q", got, good)
		}
	})
}
