// Package lint holds the rules of this repository that no linter knows, as tests: who may import whom, what is never linked
// into the program, what every package documents, and that the documents name files and types that exist. The tests need
// nothing but Go and take about a second.
package lint
