package store

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tracer follows a process by ptrace(2) and stops it, with all its threads, at
// each call that makes something durable or changes a name or a length.
type tracer struct {
	pid   int
	tids  map[int]*thread
	queue []stop
	disk  *diskModel
	// at is called with everything standing still.
	at   func(what string) error
	said int // how often it wrote to its standard output
}

// thread is a traced thread and the call it is in.
type thread struct {
	call    *call
	stopped bool
}

type stop struct {
	tid    int
	status unix.WaitStatus
}

// call is a call of interest under way.
type call struct {
	what  string
	enter func() error // at its beginning, may be nil
	done  func() error // after it went well
}

const (
	syscallStop  = unix.SIGTRAP | 0x80
	traceOptions = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL
)

func ptrace(request, pid int, addr, data uintptr) error {
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), addr, data, 0, 0); e != 0 {
		return e
	}
	return nil
}

// attach takes hold of a process with all its threads. The caller's goroutine
// must stay on its thread from here on.
func attach(pid int, disk *diskModel) (*tracer, error) {
	t := &tracer{pid: pid, tids: map[int]*thread{}, disk: disk}
	for again := true; again; {
		again = false
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return nil, err
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				return nil, err
			}
			if t.tids[tid] != nil {
				continue
			}
			// EPERM: a clone of one that is held already, and held by that.
			if err := ptrace(unix.PTRACE_SEIZE, tid, 0, traceOptions); err != nil && (len(t.tids) == 0 || !errors.Is(err, unix.EPERM)) {
				return nil, fmt.Errorf("ptrace: %w", err)
			}
			t.tids[tid] = &thread{}
			again = true
		}
	}
	for tid := range t.tids { // from here on each call is seen
		if err := t.interrupt(tid); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// interrupt has a running thread stop; its stop comes by wait.
func (t *tracer) interrupt(tid int) error {
	if err := unix.PtraceInterrupt(tid); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("interrupt: %w", err)
	}
	return nil
}

// wait waits for the next stop of one thread, or of any (-1).
func (t *tracer) wait(tid int) (stop, error) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(tid, &ws, unix.WALL|0x20000000 /* __WNOTHREAD */, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return stop{}, fmt.Errorf("wait: %w", err)
		}
		th := t.tids[got]
		if th == nil {
			th = &thread{}
			t.tids[got] = th
		}
		th.stopped = true
		return stop{got, ws}, nil
	}
}

// run follows the process to its end.
func (t *tracer) run() (unix.WaitStatus, error) {
	for {
		var s stop
		if len(t.queue) > 0 {
			s, t.queue = t.queue[0], t.queue[1:]
		} else {
			var err error
			if s, err = t.wait(-1); err != nil {
				return 0, err
			}
		}
		if s.status.Exited() || s.status.Signaled() {
			delete(t.tids, s.tid)
			if s.tid == t.pid {
				return s.status, nil
			}
			continue
		}
		signal := 0
		switch sig := s.status.StopSignal(); {
		case sig == syscallStop:
			if err := t.syscall(s.tid); err != nil {
				return 0, err
			}
		case s.status>>16 != 0: // an event: a clone, or an interrupt
		default:
			signal = int(sig)
		}
		t.resume(s.tid, signal)
	}
}

func (t *tracer) resume(tid, signal int) {
	t.tids[tid].stopped = false
	_ = unix.PtraceSyscall(tid, signal) // fails where the thread was killed, which wait tells
}

// still stops all other threads and runs fn.
func (t *tracer) still(fn func() error) error {
	var held []int
	for tid, th := range t.tids {
		if th.stopped {
			continue
		}
		if err := t.interrupt(tid); err != nil {
			return err
		}
		s, err := t.wait(tid)
		if errors.Is(err, unix.ECHILD) {
			delete(t.tids, tid)
			continue
		}
		if err != nil {
			return err
		}
		if !s.status.Stopped() || s.status.StopSignal() == syscallStop || s.status>>16 == 0 {
			t.queue = append(t.queue, s) // has a meaning of its own, and stays until that is seen to
			continue
		}
		held = append(held, tid)
	}
	err := fn()
	for _, tid := range held {
		t.resume(tid, 0)
	}
	return err
}

// syscallInfo is struct ptrace_syscall_info.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	ip, sp uint64
	data   [8]uint64 // entry: number, arguments; exit: result, byte that tells of an error
}

// syscall sees to the beginning or end of a call.
func (t *tracer) syscall(tid int) error {
	var info syscallInfo
	err := ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)))
	if errors.Is(err, unix.ESRCH) {
		return nil // the thread was killed, with the process at its end; wait tells
	}
	if err != nil {
		return fmt.Errorf("ptrace: syscall info: %w", err)
	}
	runtime.KeepAlive(&info)
	th := t.tids[tid]
	switch info.op {
	case unix.PTRACE_SYSCALL_INFO_ENTRY:
		c, err := t.interest(info.data[0], info.data[1:7])
		if err != nil || c == nil {
			return err
		}
		th.call = c
		return t.still(func() error {
			if c.enter != nil {
				if err := c.enter(); err != nil {
					return err
				}
			}
			return t.at("before " + c.what)
		})
	case unix.PTRACE_SYSCALL_INFO_EXIT:
		c := th.call
		th.call = nil
		if c == nil || info.data[1]&0xff != 0 {
			return nil
		}
		return t.still(func() error {
			if err := c.done(); err != nil {
				return err
			}
			return t.at("after " + c.what)
		})
	}
	return nil
}

// interest tells what a call does to the folder, nil where nothing.
func (t *tracer) interest(nr uint64, args []uint64) (*call, error) {
	change := func(what string, c metaChange) *call {
		return &call{what: what, done: func() error { t.disk.pending = append(t.disk.pending, c); return nil }}
	}
	switch nr {
	case unix.SYS_MSYNC:
		path, off, ok, err := t.mapped(args[0])
		if err != nil || !ok {
			return nil, err
		}
		return t.sync("msync "+path, path, off, int64(args[1])), nil
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		full, err := t.fd(args[0])
		if err != nil {
			return nil, err
		}
		if full == t.disk.dir {
			return &call{what: "fsync of the folder", done: func() error { t.disk.settle(""); return nil }}, nil
		}
		path, ok := t.disk.inside(full)
		if !ok {
			return nil, nil
		}
		return t.sync("fsync "+path, path, 0, -1), nil
	case unix.SYS_FTRUNCATE:
		full, err := t.fd(args[0])
		if err != nil {
			return nil, err
		}
		if path, ok := t.disk.inside(full); ok {
			return change("ftruncate "+path, metaChange{kind: metaLength, path: path, size: int64(args[1])}), nil
		}
	case unix.SYS_OPENAT:
		if args[2]&unix.O_CREAT == 0 {
			return nil, nil
		}
		full, err := t.text(args[1])
		if err != nil {
			return nil, err
		}
		path, ok := t.disk.inside(full)
		if !ok {
			return nil, nil
		}
		_, statErr := os.Stat(full)
		c := &call{what: "create " + path, done: func() error {
			if statErr != nil {
				t.disk.pending = append(t.disk.pending, metaChange{kind: metaCreate, path: path})
			} else if args[2]&unix.O_TRUNC != 0 {
				t.disk.pending = append(t.disk.pending, metaChange{kind: metaLength, path: path})
			}
			return nil
		}}
		return c, nil
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		from, err := t.text(args[1])
		if err != nil {
			return nil, err
		}
		to, err := t.text(args[3])
		if err != nil {
			return nil, err
		}
		a, okA := t.disk.inside(from)
		b, okB := t.disk.inside(to)
		if okA && okB {
			return change("rename "+a+" to "+b, metaChange{kind: metaRename, path: a, to: b}), nil
		}
	case unix.SYS_UNLINKAT:
		full, err := t.text(args[1])
		if err != nil {
			return nil, err
		}
		if path, ok := t.disk.inside(full); ok {
			return change("remove "+path, metaChange{kind: metaRemove, path: path}), nil
		}
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		if args[0] == 1 {
			return &call{what: "saying so", done: func() error { t.said++; return nil }}, nil
		}
		full, err := t.fd(args[0])
		if err != nil {
			return nil, err
		}
		path, ok := t.disk.inside(full)
		if !ok {
			return nil, nil
		}
		c := &call{what: "write " + path, done: func() error { return nil }}
		if t.syncing(args[0]) {
			c.done = func() error {
				b, err := os.ReadFile(full)
				t.disk.synced(path, 0, b, int64(len(b)))
				return err
			}
		}
		return c, nil
	}
	return nil, nil
}

// sync is a call that makes a range of a file durable, to its end where n is
// negative. What is durable after it is what was there before.
func (t *tracer) sync(what, path string, off, n int64) *call {
	var data []byte
	var length int64
	return &call{
		what: what,
		enter: func() error {
			b, err := os.ReadFile(t.disk.dir + "/" + path)
			if err != nil {
				return err
			}
			length = int64(len(b))
			end := length
			if n >= 0 {
				end = min(end, off+n)
			}
			data = b[min(off, end):end]
			return nil
		},
		done: func() error { t.disk.synced(path, off, data, length); return nil },
	}
}

// fd tells a descriptor's file.
func (t *tracer) fd(n uint64) (string, error) {
	p, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, int32(n)))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil // the call will fail
	}
	return p, err
}

// syncing tells whether a descriptor was opened so that writing syncs.
func (t *tracer) syncing(n uint64) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", t.pid, int32(n)))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(v), 8, 64)
			return err == nil && flags&unix.O_DSYNC != 0
		}
	}
	return false
}

// mapped tells which file of the folder is mapped at an address.
func (t *tracer) mapped(addr uint64) (path string, off int64, ok bool, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", t.pid))
	if err != nil {
		return "", 0, false, err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), " ", 6)
		if len(f) < 6 {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		lo, err1 := strconv.ParseUint(from, 16, 64)
		hi, err2 := strconv.ParseUint(to, 16, 64)
		start, err3 := strconv.ParseInt(f[2], 16, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return "", 0, false, err
		}
		if addr >= lo && addr < hi {
			path, ok := t.disk.inside(strings.TrimLeft(f[5], " "))
			return path, start + int64(addr-lo), ok, nil
		}
	}
	return "", 0, false, nil
}

// text reads a string of the process.
func (t *tracer) text(addr uint64) (string, error) {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", t.pid))
	if err != nil {
		return "", err
	}
	defer mem.Close()
	var b [1]byte
	var out []byte
	for ; len(out) < unix.PathMax; addr++ {
		if _, err := mem.ReadAt(b[:], int64(addr)); err != nil {
			return "", err
		}
		if b[0] == 0 {
			break
		}
		out = append(out, b[0])
	}
	return string(slices.Clip(out)), nil
}
