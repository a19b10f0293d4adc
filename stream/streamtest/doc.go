// Package streamtest tests implementations of the contracts in package stream: one acceptance suite for each, and hostile
// fakes of everything outside a task. Only tests import it.
//
// The fakes share a [World], which is what survives a crash: a log, rows, objects and what sinks show. A process is a
// [Life]: its calls go through a fault plan that may lose a reply after the effect, fail before it, pause the process, or
// kill it, at any call.
package streamtest
