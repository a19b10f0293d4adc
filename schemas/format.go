package schemas

import (
	"fmt"

	"github.com/tidewatch/tidewatch/stream"
)

// Formats lists the names that NewDecoder knows.
func Formats() []string { return []string{"auto", "json", "cloudtrail"} }

// NewDecoder makes a decoder of a format by its name, with the default options. "auto" reads JSON. What fields may name is
// told at NewJSON and NewCloudTrail. The error of an unknown name suggests one.
func NewDecoder(format string, def *Definition, fields []string) (stream.Decoder, error) {
	var d stream.Decoder
	var err error
	switch format {
	case "auto", "json":
		d, err = NewJSON(def, fields, DefaultOptions())
	case "cloudtrail":
		d, err = NewCloudTrail(def, fields, DefaultOptions())
	default:
		err = fmt.Errorf("choose format: there is no format `%s`; %s", format, suggest(format, Formats()))
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}
