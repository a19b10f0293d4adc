package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Account is a user of the machine.
type Account struct {
	Name     string
	UID, GID uint32
}

// Lookup finds the first of the accounts that exists.
func Lookup(names ...string) (*Account, error) {
	var errs []error
	for _, name := range names {
		u, err := user.Lookup(name)
		if err == nil {
			return fromUser(u)
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("look up an account: %w", errors.Join(errs...))
}

// Owner is the account to which a file belongs. Its name is its number if the machine has no name for it.
func Owner(path string) (*Account, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("look up the owner of a folder: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("look up the owner of %s: unknown on this system", path)
	}
	a := &Account{Name: strconv.FormatUint(uint64(stat.Uid), 10), UID: stat.Uid, GID: stat.Gid}
	if u, err := user.LookupId(a.Name); err == nil {
		return fromUser(u)
	}
	return a, nil
}

func fromUser(u *user.User) (*Account, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the uid of %s: %w", u.Username, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the gid of %s: %w", u.Username, err)
	}
	return &Account{Name: u.Username, UID: uint32(uid), GID: uint32(gid)}, nil
}

// Own gives a file to the account. A nil account is ours, and files of ours stay as they are.
func (a *Account) Own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Lchown(path, int(a.UID), int(a.GID)); err != nil {
		return fmt.Errorf("give a file to %s: %w", a.Name, err)
	}
	return nil
}

// Blocked is the first folder on the absolute path, itself included, that the account may not walk through; empty if there
// is none. Nothing blocks a nil account. Supplementary groups and access lists count for nothing: programs run without the
// former, and the latter are rare on such paths.
func (a *Account) Blocked(path string) (string, error) {
	if a == nil {
		return "", nil
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("check a path for %s: %w", a.Name, err)
	}
	blocked := ""
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return "", fmt.Errorf("check a path for %s: %w", a.Name, err)
		}
		if info.IsDir() && !a.mayWalk(info) {
			blocked = at
		}
		if at == filepath.Dir(at) {
			return blocked, nil
		}
	}
}

func (a *Account) mayWalk(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && stat.Uid == a.UID:
		return info.Mode().Perm()&0o100 != 0
	case ok && stat.Gid == a.GID:
		return info.Mode().Perm()&0o010 != 0
	}
	return info.Mode().Perm()&0o001 != 0
}
