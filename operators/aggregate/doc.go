// Package aggregate holds the functions that windows fold events with.
//
//	count(), count(x)      rows; rows with a value
//	count_if(x)            rows in which x, true or false, is true
//	count_distinct(x)      different values: exact up to 64, or up to n in count_distinct(x, n), an estimate beyond
//	sum, avg, min, max     of numbers
//	first, last            the number with the lowest or highest event time
//	slope                  how much a number changes an hour
//
// A window keeps one cell for each group. A cell is a fixed number of 64-bit words, and each function owns some of them:
// its state. A function knows four things about its state: how a run of rows changes it, how two states merge, which
// columns carry it to the next stage, and what result it shows. That is all that a new function has to bring, so each
// lives in one file and has one line in the table of names.go. State is of a fixed size on purpose: a distinct
// count brings a sketch of so many words (and a String column to travel in); what grows without bound does not
// belong into a cell.
//
// # Numbers
//
// Integers count as float64, so beyond 2^53 they lose their last digits. NaN and the infinities are no values: they are
// passed over like a null, also by count(column), because JSON cannot carry them and because one of them would spoil the
// sum of a whole window. -0 counts as 0. A sum that leaves the range of float64 shows as null.
//
// The states of sum, avg and slope are floating sums and depend on the order in which they are merged, first and last do so
// where times are equal; the others merge in any order. Whoever
// merges the partials of several partitions therefore always begins anew, in partition order.
package aggregate
