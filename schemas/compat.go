package schemas

import (
	"errors"
	"fmt"

	"github.com/tidewatch/tidewatch/stream"
)

// Compatible says whether a reader with one version of a schema may read what was written with another. All reasons
// against it come at once.
//
//   - A field of both has the same kind; an int may be read as a float, since both are numbers in JSON.
//   - What the reader requires, the writer required.
//   - A field that only the writer knows becomes an attribute; one that only the reader knows and does not require is null.
func Compatible(reader, writer *Definition) error {
	if reader.Name != writer.Name {
		return fmt.Errorf("compare schemas: %s and %s are different events", reader, writer)
	}
	var errs []error
	for _, f := range reader.Fields {
		w, known := writer.Field(f.Name)
		switch {
		case !known && f.Required:
			errs = append(errs, fmt.Errorf("compare schemas: %s requires `%s`, which %s does not have", reader, f.Name, writer))
		case !known:
		case !readable(f.Kind, w.Kind):
			errs = append(errs, fmt.Errorf("compare schemas: `%s` is %s in %s and %s in %s", f.Name, f.Kind, reader, w.Kind, writer))
		case f.Required && !w.Required:
			errs = append(errs, fmt.Errorf("compare schemas: %s requires `%s`, which %s may leave out", reader, f.Name, writer))
		}
	}
	return errors.Join(errs...)
}

func readable(as, written stream.Kind) bool {
	return as == written || as == stream.Float && written == stream.Int
}
