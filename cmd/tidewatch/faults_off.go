//go:build !faults

package main

import (
	"github.com/tidewatch/tidewatch/engine"
	"github.com/tidewatch/tidewatch/sources/kafka"
	"github.com/tidewatch/tidewatch/stream"
)

// What is shipped has no fault layer (faults.go): its places hand on what they get.

func disturbedObjects(o stream.Objects) stream.Objects { return o }

func disturbedSink(_ string, s stream.Sink, err error) (stream.Sink, error) { return s, err }

func disturbedWindow(w stream.Operator, err error) (stream.Operator, error) { return w, err }

func disturbed(c engine.Config) engine.Config { return c }

func disturbedGroup(c kafka.Config) kafka.Config { return c }
