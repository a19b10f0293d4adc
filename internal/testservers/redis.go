package testservers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// RedisOptions says how StartRedis runs the server.
type RedisOptions struct {
	AppendOnly bool     // keep data over a crash (appendfsync everysec); otherwise a restart finds an empty server
	Arguments  []string // more of redis-server's own, such as "--maxmemory", "64mb"
}

// RedisServer is a running Redis.
type RedisServer struct{ *Server }

// URL is redis://host:port/0.
func (s *RedisServer) URL() string { return "redis://" + s.Address() + "/0" }

// StartRedis starts an empty Redis. The caller closes it. The error IsMissing if the machine has none.
func StartRedis(ctx context.Context, opts RedisOptions) (*RedisServer, error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	binary, err := FindRedis(cache)
	if err != nil {
		return nil, err
	}
	s, err := allocate(ctx, NameRedis, 1)
	if err != nil {
		return nil, err
	}
	s.spec = spec{
		command: func() *exec.Cmd { return redisCommand(s, binary, opts) },
		ready:   func(ctx context.Context) error { return pingRedis(ctx, s.Address()) },
		stop:    syscall.SIGTERM,
		abandon: syscall.SIGKILL,
	}
	if err := begin(ctx, s); err != nil {
		return nil, err
	}
	return &RedisServer{s}, nil
}

func redisCommand(s *Server, binary Binary, opts RedisOptions) *exec.Cmd {
	host, port, _ := net.SplitHostPort(s.Address()) // made by JoinHostPort
	appendOnly := "no"
	if opts.AppendOnly {
		appendOnly = "yes"
	}
	args := append([]string{
		"--bind", host, "--port", port, "--dir", s.Folder(), "--daemonize", "no", "--save", "", "--appendonly", appendOnly,
	}, opts.Arguments...)
	// Not CommandContext: the server's life is not that of the context of its start.
	cmd := exec.Command(binary.Path, args...) //nolint:noctx // see above
	cmd.Env = environment(binary.Libraries)
	return cmd
}

func pingRedis(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if line = strings.TrimSpace(line); line != "+PONG" { // "-LOADING …" while it reads its append-only file
		return fmt.Errorf("redis answers a ping with %w", errors.New(line))
	}
	return nil
}
