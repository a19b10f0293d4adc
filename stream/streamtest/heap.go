package streamtest

import "runtime"

// HeapOf returns the bytes by which the heap is larger with what build has made than before. Garbage is collected first. Nothing else
// may allocate meanwhile, so a test that calls it does not run in parallel.
func HeapOf[T any](build func() T) (made T, bytes int64) {
	before := heapInUse()
	made = build()
	bytes = heapInUse() - before
	runtime.KeepAlive(&made)
	return made, bytes
}

func heapInUse() int64 {
	var m runtime.MemStats
	for range 2 { // what the first one finds unreachable and has a finalizer, the second one frees
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
