// Package pipelines holds pipelines as files: what a file may say, what is wrong with it, and the plan that the engine
// runs. README.md is the reference of the language.
//
// [Load] reads files and folders and reports every mistake at once, each with its place and, where one can be guessed, the
// word that was meant. [Compile] turns a checked [Spec] into an engine.Plan; [Archives] makes the plans of the raw archive,
// one a topic, whoever asked for it. [Explain] and [Dot] show a plan. [RunCases] runs the cases of a file in virtual time,
// through the plan that production runs.
//
// The package knows the names of components and never the components: it imports no operator, source or sink. A
// [Components] brings their constructors. Everything that can be known about a pipeline before it starts is found by
// calling them, so the check of a file and its start cannot disagree.
package pipelines
