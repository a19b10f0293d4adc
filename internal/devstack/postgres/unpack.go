package postgres

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
)

// unpack puts the programs of a jar into the folder `into`, which appears whole or not at all. If somebody else was faster,
// theirs stays.
func unpack(jar, into string) error {
	if err := os.MkdirAll(filepath.Dir(into), 0o755); err != nil {
		return fmt.Errorf("make the folder of PostgreSQL's programs: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(into), ".unpack-*")
	if err != nil {
		return fmt.Errorf("make the folder of PostgreSQL's programs: %w", err)
	}
	err = unpackJar(jar, fresh)
	if err == nil {
		err = os.Chmod(fresh, 0o755) // another account runs them
	}
	if err == nil {
		if err = os.Rename(fresh, into); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err != nil {
		err = fmt.Errorf("unpack PostgreSQL: %w", err)
	}
	return errors.Join(err, os.RemoveAll(fresh))
}

// unpackJar finds the .txz in the jar.
func unpackJar(jar, dir string) error {
	archive, err := zip.OpenReader(jar)
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }() // it was only read
	for _, member := range archive.File {
		if path.Ext(member.Name) != ".txz" {
			continue
		}
		packed, err := member.Open()
		if err != nil {
			return err
		}
		return errors.Join(unpackTXZ(packed, dir), packed.Close())
	}
	return fmt.Errorf("%s has no .txz in it", filepath.Base(jar))
}

func unpackTXZ(packed io.Reader, dir string) error {
	plain, err := xz.NewReader(packed)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // nothing in the archive can leave it
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a handle on the folder, nothing is lost with it
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackMember(root, header, archive); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

// unpackMember writes one file, folder or link. Static libraries are left out: nobody links against this server.
func unpackMember(root *os.Root, header *tar.Header, content io.Reader) error {
	name := path.Clean(header.Name)
	if name == "." || strings.HasSuffix(name, ".a") {
		return nil
	}
	if header.Typeflag == tar.TypeDir {
		return makeFolder(root, name)
	}
	if err := makeFolder(root, path.Dir(name)); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeSymlink:
		if path.IsAbs(header.Linkname) || !filepath.IsLocal(path.Join(path.Dir(name), header.Linkname)) {
			return errors.New("it is a link out of the archive")
		}
		return root.Symlink(header.Linkname, name)
	case tar.TypeReg:
		return unpackFile(root, name, header, content)
	}
	return fmt.Errorf("it is of the unexpected type %q", header.Typeflag)
}

// makeFolder makes a folder that every account may read, whatever our umask is.
func makeFolder(root *os.Root, name string) error {
	return errors.Join(root.MkdirAll(name, 0o755), root.Chmod(name, 0o755))
}

func unpackFile(root *os.Root, name string, header *tar.Header, content io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if header.Mode&0o111 != 0 {
		mode = 0o755
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
