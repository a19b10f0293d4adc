package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/tidewatch/tidewatch/internal/devstack/child"
)

// superuser is the role that owns the cluster. Its password is that of our own role.
const superuser = "postgres"

// access is the file access.json.
type access struct {
	Password string `json:"password"`
	Port     int    `json:"port"` // tried first at the next start
}

// cluster is a folder with PostgreSQL's data.
type cluster struct {
	dir     string
	account *child.Account // under which the server runs; nil: ours
	handle  *os.File       // the folder, if the server cannot walk to it; else nil
	access  access
}

// openCluster makes the folder or opens the one that is there. The caller closes it.
func openCluster(dir string) (*cluster, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make PostgreSQL's folder: %w", err)
	}
	account, err := accountFor(dir)
	if err != nil {
		return nil, err
	}
	k := &cluster{dir: dir, account: account}
	if err := errors.Join(account.Own(dir), k.reach()); err != nil {
		return nil, err
	}
	return k, nil
}

// accountFor is the account under which the server runs: ours, unless we are root.
func accountFor(dir string) (*child.Account, error) {
	owner, err := child.Owner(dir)
	if err != nil {
		return nil, err
	}
	switch uid := os.Geteuid(); {
	case uid == int(owner.UID) && uid != 0:
		return nil, nil //nolint:nilnil // nil is our own account
	case uid != 0:
		return nil, fmt.Errorf("open PostgreSQL's folder: %s belongs to %s: start as that account or as root, or with another folder", dir, owner.Name)
	case owner.UID != 0:
		return owner, nil
	}
	account, err := child.Lookup("postgres", "nobody")
	if err != nil {
		return nil, fmt.Errorf("find an account for PostgreSQL, which refuses to be root: %w", err)
	}
	return account, nil
}

// reach opens the folder for the server if it cannot walk there itself.
func (k *cluster) reach() error {
	blocked, err := k.account.Blocked(k.dir)
	if err != nil || blocked == "" {
		return err
	}
	if _, err := os.Stat("/proc/self/fd"); runtime.GOOS != "linux" || err != nil {
		return fmt.Errorf("open PostgreSQL's folder: %s is closed to the account %s, under which PostgreSQL has to run; start with a folder elsewhere",
			blocked, k.account.Name)
	}
	if k.handle, err = os.Open(k.dir); err != nil {
		return fmt.Errorf("open PostgreSQL's folder: %w", err)
	}
	return nil
}

// close ends the use of the folder.
func (k *cluster) close() error {
	if k.handle == nil {
		return nil
	}
	return k.handle.Close()
}

func (k *cluster) path(name string) string { return filepath.Join(k.dir, name) }

// spec is a program that works on the folder; it finds it under the path that `seen` gives.
func (k *cluster) spec(program string, args ...string) child.Spec {
	s := child.Spec{Path: program, Args: args, Env: environment(), Dir: "/", Account: k.account}
	if k.handle != nil {
		s.Files = []*os.File{k.handle}
	}
	return s
}

// seen is the path of a file as programs see it.
func (k *cluster) seen(name string) string {
	if k.handle != nil {
		return "/proc/self/fd/3/" + name
	}
	return k.path(name)
}

// major is the version that made the cluster, 0 if there is none yet.
func (k *cluster) major() (int, error) {
	text, err := os.ReadFile(k.path("data/PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of a cluster: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read the version of a cluster: %w", err)
	}
	return n, nil
}

// load reads what belongs to the cluster.
func (k *cluster) load() error {
	text, err := os.ReadFile(k.path("access.json"))
	if err == nil {
		err = json.Unmarshal(text, &k.access)
	}
	if err != nil {
		return fmt.Errorf("read PostgreSQL's password: %w", err)
	}
	return nil
}

// save writes access.json anew, in one step. Only its owner may read it.
func (k *cluster) save() error {
	text, err := json.Marshal(k.access)
	if err != nil {
		return fmt.Errorf("write PostgreSQL's password: %w", err)
	}
	fresh := k.path("access.json.new")
	if err := errors.Join(writeFile(fresh, append(text, '\n')), k.account.Own(fresh)); err != nil {
		return fmt.Errorf("write PostgreSQL's password: %w", err)
	}
	if err := os.Rename(fresh, k.path("access.json")); err != nil {
		return fmt.Errorf("write PostgreSQL's password: %w", err)
	}
	return nil
}

func writeFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// create runs initdb. The cluster appears whole or not at all: it is made under another name.
func (k *cluster) create(ctx context.Context, p programs, volatile bool) error {
	fresh, secret := k.path("data.new"), k.path("password")
	if err := os.RemoveAll(fresh); err != nil { // of an attempt that was interrupted
		return fmt.Errorf("make a cluster: %w", err)
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	k.access.Password = password()
	if err := errors.Join(k.save(), writeFile(secret, []byte(k.access.Password)), k.account.Own(fresh), k.account.Own(secret)); err != nil {
		return err
	}
	args := []string{
		"-D", k.seen("data.new"), "--pwfile=" + k.seen("password"), "--auth=scram-sha-256", "--username=" + superuser,
		"--encoding=UTF8", "--locale=C", "--data-checksums",
	}
	if volatile || oneSync {
		args = append(args, "--no-sync")
	}
	spec := k.spec(p.path("initdb"), args...)
	spec.OnParentDeath = syscall.SIGTERM
	_, err := child.Run(ctx, spec)
	if err = errors.Join(err, os.Remove(secret)); err == nil && !volatile {
		err = syncCluster(fresh)
	}
	if err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	if err := errors.Join(os.Rename(fresh, k.path("data")), syncFolder(k.dir)); err != nil {
		return fmt.Errorf("make a cluster: %w", err)
	}
	return nil
}

// syncFolder makes names in a folder survive a power failure.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// password draws 128 bits. Hexadecimal digits need no quoting anywhere.
func password() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}
