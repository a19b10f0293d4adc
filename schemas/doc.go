// Package schemas holds the event types of the product and turns the records of the log into rows and back.
//
// A [Definition] is a versioned YAML file under events; a [Catalog] finds it by name and version, or by topic. A format is one
// file: [JSON] reads events that are written as a definition says, [CloudTrail] maps the records of AWS onto the security
// event. [NewDecoder] is the table of formats.
//
// # What decoding a record means
//
// The meaning of a record is what encoding/json makes of it in a map: any order of keys, the last of equal keys counts,
// escapes and surrogate pairs are resolved, invalid UTF-8 and lone surrogates become U+FFFD, at most 10,000 levels. The
// decoders accept exactly the texts that encoding/json accepts, with whatever is not projected checked too, because
// otherwise the verdict on a record would depend on who reads it. For the same reason every field that the definition
// knows has its type checked, projected or not, and no column's value depends on which others are projected.
//
// A record is scanned once, name by name. Where its names stand as in a record before, it is compared with that form instead, which
// costs less and finds the same.
//
//   - null means absent, everywhere.
//   - A top-level field that the definition does not know is an attribute. If `attributes` holds the same name, the
//     top-level one wins, unless it is null.
//   - An attribute read as a column of its own (`attributes.region`) is text: strings as they are; numbers as written;
//     true and false; objects and arrays as written, without the space between tokens.
//   - `attributes` is one JSON object with all attributes, keys in byte order, nulls left out; null if none is left.
//   - A record is rejected as a whole, with a [Code] and a sentence, and leaves no trace in the batch.
package schemas
