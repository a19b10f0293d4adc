package pipelines

import "slices"

// Words lists the words of the language that are values or names, not keys: what the reference has to explain beside the keys.
func Words() []string {
	return slices.Concat(stepKinds(), sinkKinds(), severities(), alertStates(), bucketNames(), []string{sourceStep, lateSuffix})
}
