package testservers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// PostgresOptions says how StartPostgres runs the server.
type PostgresOptions struct {
	Fsync    bool              // wait for the disk at each commit; only a power failure would show the difference
	Settings map[string]string // more of PostgreSQL's own
}

// PostgresServer is a running PostgreSQL.
type PostgresServer struct {
	*Server

	account *account
	binary  Binary
	opts    PostgresOptions
}

// StartPostgres makes a cluster and starts a server on it. As root it runs under the uid of "postgres" or "nobody", since
// PostgreSQL refuses to be root. The caller closes it. The error IsMissing if the machine has none.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*PostgresServer, error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	binary, err := FindPostgres(cache)
	if err != nil {
		return nil, err
	}
	s, err := allocate(ctx, NamePostgres, 1)
	if err != nil {
		return nil, err
	}
	p := &PostgresServer{Server: s, opts: opts}
	if err := p.prepare(ctx, binary, opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := begin(ctx, s); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *PostgresServer) prepare(ctx context.Context, binary Binary, opts PostgresOptions) error {
	var err error
	if p.account, err = unprivileged(); err != nil {
		return err
	}
	if binary, err = p.reachable(binary); err != nil {
		return err
	}
	p.binary = binary
	if err := p.makeCluster(ctx, binary); err != nil {
		return err
	}
	p.spec = spec{
		command: func() *exec.Cmd { return p.command(binary, opts) },
		ready:   func(ctx context.Context) error { return p.ping(ctx) },
		stop:    syscall.SIGINT, // "fast": does not wait for clients to leave
		// "immediate": like a crash, but frees the System V segment that SIGKILL would leave behind.
		abandon: syscall.SIGQUIT,
	}
	return nil
}

// reachable copies a private unpacking to where the server's uid may read it: root's cache folder is usually closed to
// everybody else.
func (p *PostgresServer) reachable(binary Binary) (Binary, error) {
	if p.account == nil || passable(filepath.Dir(binary.Path)) {
		return binary, nil
	}
	root, relative, found := strings.Cut(binary.Path, "/usr/lib/postgresql/")
	if !found {
		return Binary{}, fmt.Errorf("run %s as %s: a folder above it is closed to that account", binary.Path, p.account.name)
	}
	programs := p.folder.join("programs")
	if err := os.CopyFS(programs, os.DirFS(root)); err != nil {
		return Binary{}, fmt.Errorf("copy PostgreSQL to where %s may read it: %w", p.account.name, err)
	}
	return Binary{Path: filepath.Join(programs, "usr/lib/postgresql", relative), Libraries: libraries(programs)}, nil
}

// makeCluster runs initdb. The folder belongs to the server's account from here on.
func (p *PostgresServer) makeCluster(ctx context.Context, binary Binary) error {
	data := p.folder.join("data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	if err := p.account.own(data); err != nil {
		return err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(filepath.Dir(binary.Path), "initdb"), "-D", data, "--no-sync", "--auth=trust",
		"--username=postgres", "--encoding=UTF8", "--locale=C")
	initdb.Env, initdb.Dir = environment(binary.Libraries), p.folder.path
	p.account.become(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("make a PostgreSQL cluster: %w\n%s", err, out)
	}
	return nil
}

func (p *PostgresServer) command(binary Binary, opts PostgresOptions) *exec.Cmd {
	host, port, _ := net.SplitHostPort(p.Address()) // made by JoinHostPort
	settings := map[string]string{
		"listen_addresses": host, "port": port, "unix_socket_directories": "", "max_connections": "300", "jit": "off",
		"timezone": "GMT", "log_timezone": "GMT", "fsync": "on", "shared_buffers": "64MB",
	}
	if !opts.Fsync {
		settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"] = "off", "off", "off"
	}
	maps.Copy(settings, opts.Settings)
	args := []string{"-D", p.folder.join("data")}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	cmd := exec.Command(binary.Path, args...) //nolint:noctx // the server's life is not that of the context of its start
	cmd.Env = environment(binary.Libraries)
	p.account.become(cmd)
	return cmd
}

// DSN is the address of a database of the server. "postgres" always exists.
func (p *PostgresServer) DSN(database string) string {
	return "postgres://postgres@" + p.Address() + "/" + database + "?sslmode=disable"
}

// CreateDatabase makes an empty database and answers its DSN. The name is one of our own: letters, digits, underscores.
func (p *PostgresServer) CreateDatabase(ctx context.Context, name string) (string, error) {
	if err := p.exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", err
	}
	return p.DSN(name), nil
}

// DropDatabase removes a database and ends the sessions that still use it.
func (p *PostgresServer) DropDatabase(ctx context.Context, name string) error {
	return p.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

func (p *PostgresServer) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, p.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	_, err = conn.Exec(ctx, statement)
	if err != nil {
		err = fmt.Errorf("%s: %w", statement, err)
	}
	return errors.Join(err, conn.Close(ctx))
}

func (p *PostgresServer) ping(ctx context.Context) error { return p.exec(ctx, "SELECT 1") }

// account is the unprivileged user under which a server runs if we are root; nil otherwise.
type account struct {
	name     string
	uid, gid uint32
}

func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is the account of those who are not root
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read the uid of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read the gid of %s: %w", name, err)
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("find an account for PostgreSQL, which refuses to be root: there is neither postgres nor nobody")
}

func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give PostgreSQL its folder: %w", err)
	}
	return nil
}

func (a *account) become(cmd *exec.Cmd) {
	if a == nil {
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
}
