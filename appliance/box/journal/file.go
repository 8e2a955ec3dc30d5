package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"pillarbox/appliance/api/initapi"
)

const (
	// maxFile and oldFiles bound what a service keeps on the state disk:
	// 5 MiB, so that a dozen services take a small part of its 1 GiB.
	maxFile  = 1 << 20
	oldFiles = 4

	fileMode   = fs.FileMode(0o600)
	folderMode = fs.FileMode(0o700)

	stamp = "2006-01-02T15:04:05.000Z"

	// maxQueued bounds the octets that wait for a disk that is slow.
	maxQueued = 4 << 20

	// tryAgain is the pause before a file that failed is written to again: a
	// volume that is full is cleared, one that is dead stays so.
	tryAgain = time.Minute

	// drainWait is how long who wants to read the files, or to end them, waits
	// for lines that are on their way.
	drainWait = 2 * time.Second
)

// errSlow says that the disk does not take what is written.
var errSlow = errors.New("the disk does not take them")

// keeper writes lines to files, in a goroutine of its own: a disk that hangs holds
// up nobody but that.
type keeper struct {
	dir  string
	wake chan struct{} // there is something to do; capacity 1
	done chan struct{} // closed when all is written and the files are closed

	mu      sync.Mutex
	queue   []queued
	octets  int
	dropped int // lines, since the last that was written
	ending  bool
	fault   error // of the files, the latest

	files map[string]*file // of the goroutine
}

// queued is a line to be written, or somebody who waits for those before.
type queued struct {
	line    initapi.LogLine
	written chan<- struct{}
}

func newKeeper(dir string) *keeper {
	return &keeper{dir: dir, wake: make(chan struct{}, 1), done: make(chan struct{}), files: map[string]*file{}}
}

// add takes a line on. It never waits; where the disk is too slow the line goes.
func (k *keeper) add(l initapi.LogLine) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.octets > maxQueued {
		k.dropped++
		return
	}
	k.octets += lineCost + len(l.Text)
	k.put(queued{line: l})
}

// put queues q. k.mu is held.
func (k *keeper) put(q queued) {
	k.queue = append(k.queue, q)
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// settle waits until what was added is written, but not for long.
func (k *keeper) settle() error {
	written := make(chan struct{})
	k.mu.Lock()
	k.put(queued{written: written})
	k.mu.Unlock()
	return within(written)
}

// end has the rest written and the files closed, and says what went wrong with them
// last.
func (k *keeper) end() error {
	k.mu.Lock()
	k.ending = true
	k.put(queued{})
	k.mu.Unlock()
	if err := within(k.done); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fault
}

func within(done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-time.After(drainWait):
		return errSlow
	}
}

// run writes until the end.
func (k *keeper) run() {
	defer close(k.done)
	for range k.wake {
		k.write()
		k.mu.Lock()
		over := k.ending && len(k.queue) == 0
		k.mu.Unlock()
		if over {
			break
		}
	}
	for _, f := range k.files {
		if f.f != nil {
			f.f.Sync()
			f.f.Close()
		}
	}
}

// write writes what is queued.
func (k *keeper) write() {
	for {
		k.mu.Lock()
		list, dropped := k.queue, k.dropped
		k.queue, k.octets, k.dropped = nil, 0, 0
		k.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, q := range list {
			if q.written != nil {
				close(q.written)
			} else if q.line.Service != "" {
				k.keep(q.line)
			}
		}
		if dropped > 0 {
			k.keep(initapi.LogLine{Time: time.Now(), Service: "init", Text: fmt.Sprintf("%d lines are missing in the files: the disk was too slow for them", dropped)})
		}
	}
}

// keep appends a line to the file of its service. One that fails is left alone for a
// while.
func (k *keeper) keep(l initapi.LogLine) {
	f := k.files[l.Service]
	if f == nil {
		f = &file{path: filepath.Join(k.dir, l.Service+".log")}
		k.files[l.Service] = f
	}
	if f.f == nil && time.Now().Before(f.again) {
		return
	}
	if err := f.append(l); err != nil {
		k.mu.Lock()
		k.fault = err
		k.mu.Unlock()
		if f.f != nil {
			f.f.Close()
		}
		f.f, f.again = nil, time.Now().Add(tryAgain)
	}
}

// Persist keeps lines in files under dir as well, from now on; what the rings
// hold is written first. An error means that no file can be written there; a disk that
// is slow, as one that is being grown, is none.
func (b *Book) Persist(dir string) error {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	k := newKeeper(dir)
	b.mu.Lock()
	b.keeper = k
	for _, r := range b.rings { // together they are less than may wait
		for _, l := range r.lines {
			k.add(l)
		}
	}
	b.mu.Unlock()
	go k.run()
	_ = k.settle() // how long that took is nobody's fault
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fault
}

// Close ends the files, so that their disk can be unmounted; the rings stay.
func (b *Book) Close() error {
	b.mu.Lock()
	k := b.keeper
	b.keeper = nil
	b.mu.Unlock()
	if k == nil {
		return nil
	}
	return k.end()
}

// file is the log of one service on disk.
type file struct {
	path  string
	f     *os.File // nil: it is not open
	size  int64
	again time.Time // not to be opened before then
}

func (f *file) append(l initapi.LogLine) error {
	if f.f == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.size >= maxFile {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	var line strings.Builder
	line.WriteString(l.Time.UTC().Format(stamp))
	line.WriteByte(' ')
	line.WriteString(l.Text)
	line.WriteByte('\n')
	return f.write(line.String())
}

func (f *file) write(text string) error {
	n, err := f.f.WriteString(text)
	f.size += int64(n)
	return err
}

// open opens the file, and ends a line that was cut short, so that the next one is
// not taken for its rest.
func (f *file) open() (err error) {
	if f.f, err = os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, fileMode); err != nil {
		return err
	}
	fi, err := f.f.Stat()
	if err != nil {
		return err
	}
	if f.size = fi.Size(); f.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := f.f.ReadAt(last, f.size-1); err != nil {
		return err
	}
	if last[0] == '\n' {
		return nil
	}
	return f.write("\n")
}

// rotate moves the file to .1 and the older ones on by one; the oldest goes.
func (f *file) rotate() error {
	for i := oldFiles; i > 1; i-- {
		err := os.Rename(fmt.Sprintf("%s.%d", f.path, i-1), fmt.Sprintf("%s.%d", f.path, i))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := os.Rename(f.path, f.path+".1"); err != nil {
		return err
	}
	fresh, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, fileMode)
	if err != nil {
		return err
	}
	f.f.Close()
	f.f, f.size = fresh, 0
	return nil
}
