package drain

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// event is something that the kernel counts for a process: type and config of perf_event_open(2).
type event struct {
	kind   uint32
	config uint64
}

// instructions are those that the processor has retired, PERF_COUNT_HW_INSTRUCTIONS of PERF_TYPE_HARDWARE.
var instructions = event{kind: 0, config: 1}

// perfAttr is struct perf_event_attr in its first form, which every kernel knows.
type perfAttr struct {
	kind, size                   uint32
	config, period, sample, read uint64
	flags                        uint64
	wakeup, breakpoint           uint32
	address                      uint64
}

// Bits of perfAttr.flags and perfAttr.read.
const (
	perfDisabled      = 1 << 0
	perfInherit       = 1 << 1
	perfExcludeKernel = 1 << 5
	perfExcludeHV     = 1 << 6
	perfEnableOnExec  = 1 << 12
	perfReadTimes     = 1<<0 | 1<<1
	perfCloseOnExec   = 1 << 3 // of the call itself
)

// counter counts in user mode what processes do that the thread starts which opened it, with all their threads and children.
type counter struct{ file *os.File }

// open makes a counter for what this thread starts; the caller has locked itself to it. The thread's own work is not counted,
// since counting begins with exec.
func (e event) open() (*counter, error) {
	a := perfAttr{
		kind: e.kind, config: e.config, read: perfReadTimes,
		flags: perfDisabled | perfInherit | perfExcludeKernel | perfExcludeHV | perfEnableOnExec,
	}
	a.size = uint32(unsafe.Sizeof(a))
	const thisThread, anyCPU, noGroup = 0, ^uintptr(0), ^uintptr(0)
	fd, _, errno := syscall.Syscall6(syscall.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&a)), thisThread, anyCPU, noGroup, perfCloseOnExec, 0)
	if errno != 0 {
		return nil, fmt.Errorf("perf_event_open: %w", errno)
	}
	return &counter{os.NewFile(fd, "perf event")}, nil
}

// read answers what was counted, once the processes have ended. Where the processor had fewer counters than were asked of it, it
// counted a part of the time, and the rest is taken to be like that.
func (c *counter) read() (float64, error) {
	var buf [24]byte // value, time enabled, time running
	if _, err := c.file.Read(buf[:]); err != nil {
		return 0, fmt.Errorf("read perf event: %w", err)
	}
	value, enabled, running := binary.NativeEndian.Uint64(buf[:]), binary.NativeEndian.Uint64(buf[8:]), binary.NativeEndian.Uint64(buf[16:])
	if running == 0 {
		return 0, fmt.Errorf("read perf event: it was never counted")
	}
	return float64(value) * float64(enabled) / float64(running), nil
}

func (c *counter) close() {
	if c != nil {
		_ = c.file.Close() // it was only read
	}
}

// CanCount is nil where instructions can be counted, or says why they cannot.
func CanCount() error {
	c, err := instructions.open()
	if err != nil {
		return fmt.Errorf("instructions are not counted: %w (the machine has no counter, or kernel.perf_event_paranoid is above 2)", err)
	}
	c.close()
	return nil
}
