// Package streamtest tests implementations of the contracts in package stream: one acceptance suite for each, and hostile
// fakes of everything outside a task. Only tests import it.
//
// # Suites
//
// [RunStore], [RunSource], [RunOperator] and [RunSink] take a harness, which says how to make the thing and what to feed it
// with, and demand what the contract promises, one subtest for each promise. Histories are drawn from seeds and grow, so that
// the first that fails is a small one; its message begins with its number, and it fails again. The suites need no oracle: they
// compare a disturbed run with a calm one. So a value that is wrong in both is the business of other tests.
//
// Every promise has planted faults in this package's own tests that its subtest must find.
//
// # Fakes
//
// The fakes share a [World], which is what survives a crash: a log, rows, objects and what sinks show. A process is a
// [Life]: its calls go through a fault plan that may lose a reply after the effect, fail before it, pause the process, or
// kill it, at any call. [Life.Over] and [Life.Call] put the same faults over real stores and clients.
package streamtest
