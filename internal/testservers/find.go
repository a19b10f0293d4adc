package testservers

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Binary is a program and where its libraries are.
type Binary struct {
	Path      string
	Libraries []string // folders for LD_LIBRARY_PATH; empty for a program of the system
}

// FindRedis looks for redis-server in PATH, then in the cache folder.
func FindRedis(cache string) (Binary, error) {
	if path, err := exec.LookPath("redis-server"); err == nil {
		return Binary{Path: path}, nil
	}
	root := Place(cache, NameRedis)
	if path := filepath.Join(root, "usr/bin/redis-server"); executable(path) {
		return Binary{Path: path, Libraries: libraries(root)}, nil
	}
	return Binary{}, missing(NameRedis, "redis-server is neither in PATH nor in "+root)
}

// FindPostgres looks for the newest PostgreSQL of the system (Debian's folders, then PATH), then in the cache folder.
// Path is that of `postgres`; `initdb` lies beside it.
func FindPostgres(cache string) (Binary, error) {
	if dir := newestPostgres("/"); dir != "" {
		return Binary{Path: filepath.Join(dir, "postgres")}, nil
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if path := filepath.Join(filepath.Dir(initdb), "postgres"); executable(path) {
			return Binary{Path: path}, nil
		}
	}
	root := Place(cache, NamePostgres)
	if dir := newestPostgres(root); dir != "" {
		return Binary{Path: filepath.Join(dir, "postgres"), Libraries: libraries(root)}, nil
	}
	return Binary{}, missing(NamePostgres, "initdb and postgres are neither in /usr/lib/postgresql, nor in PATH, nor in "+root)
}

func newestPostgres(root string) string {
	dirs, _ := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*/bin")) // the pattern is well-formed
	dirs = slices.DeleteFunc(dirs, func(dir string) bool {
		return !executable(filepath.Join(dir, "initdb")) || !executable(filepath.Join(dir, "postgres"))
	})
	if len(dirs) == 0 {
		return ""
	}
	return slices.MaxFunc(dirs, func(a, b string) int { return cmp.Compare(major(a), major(b)) })
}

func major(bin string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	if err != nil {
		return -1
	}
	return n
}

// FindJava looks for java in JAVA_HOME, then in PATH.
func FindJava() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if path := filepath.Join(home, "bin/java"); executable(path) {
			return path, nil
		}
	}
	path, err := exec.LookPath("java")
	if err != nil {
		return "", &Missing{
			Server: NameKafka, Reason: "Kafka needs Java 17 or newer, and java is neither in JAVA_HOME nor in PATH",
			Way: "install it (Debian: default-jre-headless), or let `TIDEWATCH_TEST_INSTALL=1 go run ./internal/testservers/fetch kafka` do it",
		}
	}
	return path, nil
}

// FindKafka looks for the broker's jars in the cache folder. The answer is a class path.
func FindKafka(cache string) (string, error) {
	dir := Place(cache, NameKafka)
	if _, err := os.Stat(filepath.Join(dir, "kafka_2.13-"+KafkaVersion+".jar")); err != nil {
		return "", missing(NameKafka, "the jars of Kafka "+KafkaVersion+" are not in "+dir)
	}
	return filepath.Join(dir, "*"), nil
}

// FindS3 looks for versitygw in the cache folder, then in PATH: the cache has the version that is known to work.
func FindS3(cache string) (Binary, error) {
	dir := Place(cache, NameS3)
	if path := filepath.Join(dir, "versitygw"); executable(path) {
		return Binary{Path: path}, nil
	}
	if path, err := exec.LookPath("versitygw"); err == nil {
		return Binary{Path: path}, nil
	}
	return Binary{}, missing(NameS3, "versitygw is neither in "+dir+" nor in PATH")
}

// FindPython looks for the virtual environment with DuckDB, pyarrow and confluent-kafka: the foreign programs that check
// our files and topics. The answer is its interpreter. Its list of packages is written last, when all are there.
func FindPython(cache string) (string, error) {
	dir := Place(cache, NamePython)
	have, err := os.ReadFile(filepath.Join(dir, "requirements.txt"))
	if err != nil || !bytes.Equal(have, Requirements) {
		return "", missing(NamePython, "no virtual environment with the right packages in "+dir)
	}
	return filepath.Join(dir, "bin/python"), nil
}

// libraries lists the folders of shared libraries below the root of an unpacked package.
func libraries(root string) []string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "lib/*-linux-gnu*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is well-formed
		dirs = append(dirs, found...)
	}
	return dirs
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// environment is that of every server: nothing of the caller's but what finds programs and folders, so that a variable
// such as PGPORT or KAFKA_OPTS cannot change what a test sees.
func environment(libraries []string, extra ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LC_ALL=C", "TZ=UTC"}
	if len(libraries) > 0 {
		env = append(env, "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	}
	return append(env, extra...)
}
