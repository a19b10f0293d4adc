// Package child runs a program beneath this process. The program ends with the process, however that ends (on Linux; see
// Spec.OnParentDeath), it may run under another account, and its output arrives line by line.
package child
