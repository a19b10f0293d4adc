// Package host measures the machine that it runs on: processor, memory, file systems, disks, network, processes, and this
// process, in OpenTelemetry's words, as events of the schema metric. It reads what the operating system tells everybody and
// needs no privileges.
//
//	system.cpu.utilization            share of the time since the last sample that was not idle
//	system.cpu.load_average.1m        runnable processes, averaged over a minute
//	system.memory.usage, .utilization used, and its share
//	system.filesystem.usage, .utilization  by mountpoint
//	system.disk.io                    bytes since the start of the machine, by device and direction
//	system.network.io                 bytes since the start of the machine, by device and direction
//	system.network.errors             errors in either direction since the start of the machine, by device
//	system.processes.count            processes
//	process.cpu.utilization, process.memory.usage  of this process; 1 is one processor
//
// What a machine does not tell, such as disks in a container, is left out.
package host
