// Package shape holds the operators that look at one row at a time: which rows go on, and which fields they have.
//
//	steps:
//	  - filter: name == "system.cpu.utilization" and attributes.region != "test"
//	  - project:
//	      tenant: tenant
//	      host: host
//	      percent: value * 100
//
// Both take events as well as the rows of a window. They keep no state: nothing of a row outlives the call.
//
// Rows of a window come slot by slot, complete. Behind a filter "complete" means all rows of the slot that pass; a slot of
// which no row passes does not appear.
package shape
