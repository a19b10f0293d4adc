//go:build faults

package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/tidewatch/tidewatch/operators/window"
	"github.com/tidewatch/tidewatch/stream"
)

// What events with one of these hosts do to the window that takes them: a panic, or the death of the process. Stages that
// have no window take them like any other.
const (
	hostPanics = "fault-panic"
	hostKills  = "fault-kill"
)

// disturbedWindow makes the window of events fall over marked records.
func disturbedWindow(op stream.Operator, err error) (stream.Operator, error) {
	switch w := op.(type) {
	case *window.Tumbling:
		return faultyTumbling{w}, err
	case *window.Fold:
		return faultyFold{w}, err
	}
	return op, err
}

type faultyTumbling struct{ *window.Tumbling }

// Process implements stream.Operator.
func (f faultyTumbling) Process(b *stream.Batch, out stream.Emitter) error {
	stumble(b)
	return f.Tumbling.Process(b, out)
}

type faultyFold struct{ *window.Fold }

// Process implements stream.Operator.
func (f faultyFold) Process(b *stream.Batch, out stream.Emitter) error {
	stumble(b)
	return f.Fold.Process(b, out)
}

// stumble looks for marked records.
func stumble(b *stream.Batch) {
	hosts := b.Col("host")
	if hosts == nil || hosts.Kind != stream.String {
		return
	}
	for i := range b.Len() {
		if hosts.IsNull(i) {
			continue
		}
		switch hosts.Dict.String(hosts.IDs[i]) {
		case hostPanics:
			fmt.Fprintf(os.Stderr, "fault record.panic: offset %d\n", b.Offset[i])
			panic("planted fault: a marked record")
		case hostKills:
			fmt.Fprintf(os.Stderr, "fault record.kill: offset %d\n", b.Offset[i])
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it is on its way
		}
	}
}
