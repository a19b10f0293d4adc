package replay

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
)

//go:embed testdata/cloudtrail.ndjson.gz
var cloudTrail []byte

// CloudTrail reads the records of AWS CloudTrail that testdata/README.md describes, with their licences: one JSON object a
// line, in the order of their files, which is not quite that of time.
func CloudTrail() (io.Reader, error) {
	r, err := gzip.NewReader(bytes.NewReader(cloudTrail))
	if err != nil {
		return nil, fmt.Errorf("read the records of CloudTrail: %w", err)
	}
	return r, nil
}
