// Package nbd serves a VM's disk from this process (NBD, the network block
// device protocol) so that a test can cut the power honestly.
//
// Killing QEMU is no power cut: all that the guest's driver had completed is
// in the host's page cache by then and stays. A Disk here behaves as a drive
// with a volatile write cache: a write is remembered, and reaches the backing
// store only when a flush that came after it is answered, or at once where it
// carries FUA. When the power goes, the backing store gets a subset of what was
// remembered that a drive may leave: each sector of 512 bytes of each write is
// there or not by itself, so that writes are lost, reordered and torn. The
// choice follows from a seed.
//
// Invariants: what an answered flush covers is in the backing store; what was
// never written is not; a sector holds one of the values that were written to
// it since the last flush, or the one before.
package nbd

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

// SectorSize is what a drive writes whole or not at all, in bytes.
const SectorSize = 512

// cacheLimit bounds what is remembered, in bytes. Beyond it the oldest write
// goes to the backing store, as in a drive whose cache is full.
const cacheLimit = 256 << 20

// ErrBroken means that a place of the disk cannot be read or written.
var ErrBroken = errors.New("nbd: the disk is broken there")

// ErrPowerOff means that the power was cut.
var ErrPowerOff = errors.New("nbd: the disk has no power")

// Backing is where flushed data lies, such as a file.
type Backing interface {
	io.ReaderAt
	io.WriterAt
}

// Disk is a drive with a volatile write cache.
type Disk struct {
	size    int64
	backing Backing

	mu      sync.Mutex
	pending []write          // in the order they came
	latest  map[int64][]byte // sector number to the newest remembered content
	cached  int              // bytes in pending
	broken  [2]int64         // bytes from and to that fail
	armed   int              // operations until the power goes; 0 when not armed
	frozen  chan struct{}    // closed when the power has gone
	closed  chan struct{}    // closed by Close
	stats   Stats
}

type write struct {
	off  int64
	data []byte
}

// Stats counts what a disk was asked to do.
type Stats struct {
	Writes, Flushes int
	Written         int64 // bytes
}

// Cut tells what a power cut met.
type Cut struct {
	Writes  int // that no flush had covered
	Sectors int // in them
	Kept    int // of these, reached the backing store
	Torn    int // writes of which only a part did
}

func (c Cut) String() string {
	return fmt.Sprintf("%d writes not flushed, %d of their %d sectors kept, %d writes torn", c.Writes, c.Kept, c.Sectors, c.Torn)
}

// NewDisk returns a disk of size bytes, a multiple of SectorSize.
func NewDisk(backing Backing, size int64) *Disk {
	return &Disk{
		size: size, backing: backing, latest: make(map[int64][]byte),
		frozen: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Size is the disk's size in bytes.
func (d *Disk) Size() int64 { return d.size }

// Stats returns what the disk did so far.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Arm lets the power go just before the n-th write or flush from now, n from
// 1, and returns a channel that is closed then. From that moment no operation
// is answered, until Close.
func (d *Disk) Arm(n int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = n
	return d.frozen
}

// Break lets reads and writes fail that touch the bytes from, up to to: until
// the next Break, whose bytes take their place.
func (d *Disk) Break(from, to int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = [2]int64{from, to}
}

// PowerOff lets the power go now.
func (d *Disk) PowerOff() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.powerOff()
}

func (d *Disk) powerOff() {
	select {
	case <-d.frozen:
	default:
		close(d.frozen)
	}
}

// Close ends operations that wait for a disk without power.
func (d *Disk) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.powerOff()
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
}

// Settle leaves in the backing store what a drive may leave that lost its
// power, by the choices of rng, and forgets the rest. The power must be off.
func (d *Disk) Settle(rng *rand.Rand) (Cut, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.frozen:
	default:
		return Cut{}, errors.New("nbd: the disk has power")
	}
	cut := Cut{Writes: len(d.pending)}
	for i, w := range d.pending {
		// A drive tears the write that it is at: most likely the last one, or one
		// of those that it puts in another order. The others survive or are lost
		// whole.
		keep := rng.Float64()
		if i < len(d.pending)-1 && rng.IntN(4) > 0 {
			keep = float64(rng.IntN(2))
		}
		kept, n := 0, len(w.data)/SectorSize
		for i := range n {
			if rng.Float64() >= keep {
				continue
			}
			kept++
			at := i * SectorSize
			if _, err := d.backing.WriteAt(w.data[at:at+SectorSize], w.off+int64(at)); err != nil {
				return cut, fmt.Errorf("settle: %w", err)
			}
		}
		cut.Sectors += n
		cut.Kept += kept
		if kept > 0 && kept < n {
			cut.Torn++
		}
	}
	d.forget()
	return cut, nil
}

func (d *Disk) forget() {
	d.pending, d.cached = nil, 0
	clear(d.latest)
}

// power waits for ever when there is none. d.mu is held, and given back while
// it waits.
func (d *Disk) power() error {
	select {
	case <-d.frozen:
	default:
		return nil
	}
	d.mu.Unlock()
	<-d.closed
	d.mu.Lock()
	return ErrPowerOff
}

// step counts towards the cut. d.mu is held.
func (d *Disk) step() error {
	if d.armed > 0 {
		if d.armed--; d.armed == 0 {
			d.powerOff()
		}
	}
	return d.power()
}

func (d *Disk) check(n int, off int64) error {
	if off < 0 || off%SectorSize != 0 || n%SectorSize != 0 || off > d.size-int64(n) {
		return fmt.Errorf("nbd: %d bytes at %d of a disk of %d bytes in sectors of %d", n, off, d.size, SectorSize)
	}
	if off < d.broken[1] && off+int64(n) > d.broken[0] {
		return ErrBroken
	}
	return nil
}

// ReadAt reads whole sectors, remembered ones included.
func (d *Disk) ReadAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(len(p), off); err != nil {
		return 0, err
	}
	if err := d.power(); err != nil {
		return 0, err
	}
	if n, err := d.backing.ReadAt(p, off); err != nil && !(errors.Is(err, io.EOF) && n == len(p)) {
		return n, err
	}
	if len(d.latest) == 0 {
		return len(p), nil
	}
	for at := 0; at < len(p); at += SectorSize {
		if sector, ok := d.latest[(off+int64(at))/SectorSize]; ok {
			copy(p[at:at+SectorSize], sector)
		}
	}
	return len(p), nil
}

// WriteAt remembers whole sectors; it keeps p.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(len(p), off); err != nil {
		return 0, err
	}
	if err := d.step(); err != nil {
		return 0, err
	}
	d.stats.Writes++
	d.stats.Written += int64(len(p))
	d.pending = append(d.pending, write{off, p})
	d.cached += len(p)
	for at := 0; at < len(p); at += SectorSize {
		d.latest[(off+int64(at))/SectorSize] = p[at : at+SectorSize]
	}
	for d.cached > cacheLimit {
		w := d.pending[0]
		if err := d.store(w); err != nil {
			return 0, err
		}
		d.pending = d.pending[1:]
		d.cached -= len(w.data)
		d.supersede(w)
	}
	return len(p), nil
}

// store writes w to the backing store.
func (d *Disk) store(w write) error {
	_, err := d.backing.WriteAt(w.data, w.off)
	return err
}

// supersede forgets those sectors of w that are the newest ones: the backing
// store has them.
func (d *Disk) supersede(w write) {
	for at := 0; at < len(w.data); at += SectorSize {
		n := (w.off + int64(at)) / SectorSize
		if s, ok := d.latest[n]; ok && &s[0] == &w.data[at] {
			delete(d.latest, n)
		}
	}
}

// Flush brings all that was written to the backing store.
func (d *Disk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(); err != nil {
		return err
	}
	d.stats.Flushes++
	for _, w := range d.pending {
		if err := d.store(w); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	d.forget()
	return nil
}

// WriteThrough writes past the cache (FUA). What is remembered for the same
// sectors from before must not come back over it, and is forgotten.
func (d *Disk) WriteThrough(p []byte, off int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.check(len(p), off); err != nil {
		return err
	}
	if err := d.step(); err != nil {
		return err
	}
	d.stats.Writes++
	d.stats.Written += int64(len(p))
	if err := d.store(write{off, p}); err != nil {
		return err
	}
	end := off + int64(len(p))
	var kept []write
	d.cached = 0
	for _, w := range d.pending {
		for _, piece := range w.outside(off, end) {
			kept = append(kept, piece)
			d.cached += len(piece.data)
		}
	}
	d.pending = kept
	for n := off / SectorSize; n < end/SectorSize; n++ {
		delete(d.latest, n)
	}
	return nil
}

// outside returns what of w lies before from and what lies from end on.
func (w write) outside(from, end int64) []write {
	last := w.off + int64(len(w.data))
	if last <= from || w.off >= end {
		return []write{w}
	}
	var pieces []write
	if w.off < from {
		pieces = append(pieces, write{w.off, w.data[:from-w.off]})
	}
	if last > end {
		pieces = append(pieces, write{end, w.data[end-w.off:]})
	}
	return pieces
}
