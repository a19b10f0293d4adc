package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
)

// StartStandby starts a server that follows p by streaming replication, asynchronously: what it has not got yet when p dies
// is lost. It has the settings of p. The caller closes it.
func (p *PostgresServer) StartStandby(ctx context.Context) (*PostgresServer, error) {
	s, err := allocate(ctx, NamePostgres, 1)
	if err != nil {
		return nil, err
	}
	standby := &PostgresServer{Server: s, account: p.account, binary: p.binary, opts: p.opts}
	if err := standby.copyOf(ctx, p); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.spec = spec{
		command: func() *exec.Cmd { return standby.command(standby.binary, standby.opts) },
		ready:   standby.ping, stop: syscall.SIGINT, abandon: syscall.SIGQUIT,
	}
	if err := begin(ctx, s); err != nil {
		return nil, err
	}
	return standby, nil
}

// copyOf copies the cluster of a server that runs, and names it as the one to follow.
func (p *PostgresServer) copyOf(ctx context.Context, primary *PostgresServer) error {
	if err := p.account.own(p.folder.path); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(primary.Address()) // made by JoinHostPort
	backup := exec.CommandContext(ctx, filepath.Join(filepath.Dir(p.binary.Path), "pg_basebackup"), "-D", p.folder.join("data"),
		"-h", host, "-p", port, "-U", "postgres", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync")
	backup.Env, backup.Dir = environment(p.binary.Libraries), p.folder.path
	p.account.become(backup)
	if out, err := backup.CombinedOutput(); err != nil {
		return fmt.Errorf("copy a PostgreSQL cluster: %w\n%s", err, out)
	}
	return nil
}

// Detach lets a standby receive nothing any more. It returns when nothing comes.
func (p *PostgresServer) Detach(ctx context.Context) error {
	if err := p.exec(ctx, "ALTER SYSTEM SET primary_conninfo = ''"); err != nil {
		return err
	}
	if err := p.exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return p.exec(ctx, `DO $$ BEGIN
		FOR i IN 1..1000 LOOP
			PERFORM pg_stat_clear_snapshot();
			IF NOT EXISTS (SELECT FROM pg_stat_wal_receiver) THEN RETURN; END IF;
			PERFORM pg_sleep(0.01);
		END LOOP;
		RAISE 'it still receives';
	END $$`)
}

// Promote makes a standby a server of its own, on a new timeline. It returns when it takes writes.
func (p *PostgresServer) Promote(ctx context.Context) error {
	return p.exec(ctx, "SELECT pg_promote(wait => true, wait_seconds => 60)")
}
