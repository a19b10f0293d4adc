// Package dedupe drops events that were seen before.
//
//	steps:
//	  - dedupe: {by: [tenant, event_id], within: 1h}
//
// # What a repeat is
//
// The event time line is divided into generations: spans of the length Span, from multiples of it since 1970. The first
// event with a key passes and leaves a sight: the key and its event time. An event is a repeat, and is dropped and counted as
// duplicate, if there is a sight of its key less than Span away, before or after it in event time. Every other event passes
// and leaves a sight of its own. So a key that comes again and again passes once a span.
//
// A generation is forgotten when the mark that an event travels with has reached its end plus Span plus Lateness. An event
// that is not later than Lateness behind its mark therefore finds every sight that is less than Span away. An event of a
// generation that is forgotten already passes and leaves nothing: it is too late for every window, and a first sight must never
// be dropped. All this follows from the log alone; neither the borders of batches nor idle ticks change it.
//
// An event that has no value in one of the key columns has no identity: it passes and leaves nothing.
//
// # Exact, but for 128 bits
//
// A sight keeps a 128-bit hash of the key (XXH3, Yann Collet), not the key. With n live keys, the chance that any two of them
// share a hash is below n²/2^129: 2·10^-23 for a hundred million. XXH3 is no cryptographic hash; who can choose keys could
// make two of them collide, which gains him nothing over sending the same key twice.
//
// # Memory
//
// A sight takes 24 bytes in a table that is at most four fifths full and grows in steps of an eighth: 30 to 34 bytes with
// the free slots. A generation begins with room for as many sights as the one before has, so it is rarely copied, and takes
// its memory at its beginning. At most Lateness/Span + 3 generations hold sights at once, plus those that the disorder of
// the source adds.
package dedupe
