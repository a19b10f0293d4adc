package postgres

import "strconv"

// settings are the server's arguments; they win over what stands in postgresql.conf. They suit one client on a small
// machine: little memory, a bounded log, no helpers that nobody needs.
func settings(major, port int, volatile bool) []string {
	all := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "unix_socket_directories=",
		"max_connections=30", "shared_buffers=32MB", "huge_pages=off", "jit=off",
		"max_worker_processes=2", "max_parallel_workers_per_gather=0", "autovacuum_max_workers=1",
		"wal_level=minimal", "max_wal_senders=0", "min_wal_size=32MB", "max_wal_size=256MB",
		"synchronous_commit=on", "fsync=" + onOff(!volatile), "full_page_writes=" + onOff(!volatile),
		"logging_collector=off", "log_destination=stderr", "log_line_prefix=", "lc_messages=C", "timezone=UTC", "log_timezone=UTC",
		"log_min_error_statement=panic", // statements may hold what does not belong into a log
	}
	if major >= 18 {
		all = append(all, "io_method=sync") // three processes less
	}
	var args []string
	for _, setting := range all {
		args = append(args, "-c", setting)
	}
	return args
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
