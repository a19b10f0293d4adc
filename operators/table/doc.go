// Package table holds the state tables of the operators: Index, which numbers keys, and Groups, which numbers the groups
// of a window. Both use open addressing with linear probing over one flat slice, because a Go map costs a multiple in
// time and memory, and both are asked for many keys at once: first the slots of all keys are read, which the processor
// overlaps, then the keys are compared. Asked key by key, every lookup would wait for its own cache misses.
//
// Numbers are handed out in the order of first sight and are part of the state: what an operator emits is ordered by
// them. The arrangement of the slots is not; it may differ between a table that grew and one that was restored.
//
// Tables belong to one operator and are used from the task's goroutine.
package table
