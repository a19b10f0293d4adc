package schemas

import (
	"errors"
	"time"
)

// Options are the limits of a decoder.
type Options struct {
	// MaxBytes is the size of the largest record that is read.
	MaxBytes int
	// MaxAhead is how far an event may be ahead of its record's timestamp. A record without a timestamp (zero or
	// negative) is not judged.
	MaxAhead time.Duration
	// DictEntries and DictBytes bound a column's dictionary: it is emptied before the batch that begins above one of them.
	DictEntries int
	DictBytes   int
}

// DefaultOptions are the limits of the product.
func DefaultOptions() Options {
	return Options{MaxBytes: 1 << 20, MaxAhead: 24 * time.Hour, DictEntries: 1 << 16, DictBytes: 4 << 20}
}

// Validate reports all settings that make no sense.
func (o Options) Validate() error {
	var errs []error
	if o.MaxBytes < 2 || o.MaxBytes > 1<<30 {
		errs = append(errs, errors.New("check decoder: MaxBytes must be from 2 to 1 GiB"))
	}
	if o.MaxAhead <= 0 {
		errs = append(errs, errors.New("check decoder: MaxAhead must be positive"))
	}
	if o.DictEntries < 1 || o.DictBytes < 1 {
		errs = append(errs, errors.New("check decoder: DictEntries and DictBytes must be positive"))
	}
	return errors.Join(errs...)
}
