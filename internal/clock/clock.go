// Package clock holds the one clock of production.
package clock

import "time"

// System is the wall clock. It implements stream.Clock. Inside a testing/synctest bubble it is the bubble's clock.
type System struct{}

// Now implements stream.Clock.
func (System) Now() time.Time { return time.Now() }

// After implements stream.Clock.
func (System) After(d time.Duration) <-chan time.Time { return time.After(d) }
