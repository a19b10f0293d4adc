// Package expression is the expression language of pipelines: filters, computed fields, conditions of rules, and the texts
// of alerts. An expression is checked against a schema and then evaluated over a whole batch.
//
// The syntax is that of github.com/expr-lang/expr. A name is a column; dots and constant brackets are part of it, so
// attributes.region and attributes["region"] both mean the column "attributes.region".
//
// # Null
//
// A column may have no value in a row. Logic stays two-valued:
//
//   - A comparison with null is false, != included, and so is `in`, contains, startsWith, endsWith and matches. To ask for
//     null, write x == nil or x != nil; these two forms are never null themselves.
//   - Arithmetic with null is null, and so is a function of null. a ?? b is b where a is null.
//   - A condition that is null counts as false: in a filter, as an operand of and, or, not, and before `?`. So not of a
//     comparison with null is true.
//   - Whatever fails in a row is null there: a division by zero, an index out of range, text that is no number, an instant
//     that no column can hold, a function that would make a megabyte of text.
//   - An expression that loops over a list which is not written out in it may do only so much in a row. Beyond that it is
//     null as a whole.
//
// # Numbers
//
// Int and Float mix; then the Int counts as its nearest Float, and a choice between the two is a Float. / and ** give a
// Float, as do mean and median, + - * and % of two Ints an Int that wraps. Floats compare as IEEE 754 says: NaN is equal to
// nothing. A difference of two timestamps, and a duration("5m"), is an Int of nanoseconds in a column, and any number of
// nanoseconds may be added to a timestamp: time + duration("1h") * 2.
//
// # Fast and slow
//
// Comparisons, `in` with constants, logic, arithmetic, the string predicates with constants, null checks, ?: and ?? are
// loops over columns without an allocation per event. A predicate on a string column runs once per distinct string: its
// verdicts are kept by the number that the column's dictionary gave the string, as is every other function of one
// string column. The rest runs in the VM of expr, row by row, as does the whole of an expression that might do too much. Both
// ways give the same result, because the VM brings every part to what it would be in a column; that is the package's first
// test. What would make a result depend on anything but the row is left out: now, time zones, and functions whose result
// follows the order of a Go map.
package expression
