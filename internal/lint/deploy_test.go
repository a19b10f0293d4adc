package lint

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewatch/tidewatch/internal/config"
)

// TestSampleConfiguration demands that the sample is accepted as it is and with every line in use, and that it shows every
// key there is.
func TestSampleConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../deploy/tidewatch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, sample := range map[string]string{"as it is": string(text), "all lines": uncomment(string(text))} {
		file := filepath.Join(t.TempDir(), "tidewatch.yaml")
		sample = regexp.MustCompile(`(?m)^(\s*)\w+_file: /etc\S*`).ReplaceAllString(sample, "") // these files are not here
		if err := os.WriteFile(file, []byte(sample), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(file, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, key := range keys(reflect.TypeFor[config.Config]()) {
		if !regexp.MustCompile(`\b` + key + `:`).Match(text) {
			t.Errorf("the sample does not show the key %s", key)
		}
	}
}

// uncomment takes the sign off lines that hold a key, and leaves explanations.
func uncomment(text string) string {
	return regexp.MustCompile(`(?m)^(\s*)# (\s*[a-z_]+:(\s|$))`).ReplaceAllString(text, "$1$2")
}

// keys lists the names in the file of all fields, at any depth.
func keys(t reflect.Type) []string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var all []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		all = append(append(all, name), keys(field.Type)...)
	}
	return all
}
