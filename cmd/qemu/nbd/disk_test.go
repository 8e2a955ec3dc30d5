package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// memory is a backing store.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

// sectors returns n sectors that say mark, each with its place.
func sectors(mark uint32, n int) []byte {
	b := make([]byte, n*SectorSize)
	for i := range n {
		binary.BigEndian.PutUint32(b[i*SectorSize:], mark)
		binary.BigEndian.PutUint32(b[i*SectorSize+4:], uint32(i))
	}
	return b
}

func mark(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// TestLegal does random things to a disk, cuts the power, and checks that each
// sector holds what it may.
func TestLegal(t *testing.T) {
	const blocks = 64
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		backing := make(memory, blocks*SectorSize)
		d := NewDisk(backing, int64(len(backing)))
		durable := [blocks]uint32{}
		maybe := [blocks][]uint32{}
		newest := func(i int) uint32 {
			if m := maybe[i]; len(m) > 0 {
				return m[len(m)-1]
			}
			return durable[i]
		}
		for op := range uint32(100) {
			first, n := rng.IntN(blocks), 1+rng.IntN(8)
			n = min(n, blocks-first)
			off := int64(first) * SectorSize
			switch rng.IntN(12) {
			case 0:
				if err := d.Flush(); err != nil {
					t.Fatal(err)
				}
				for i := range durable {
					durable[i], maybe[i] = newest(i), nil
				}
			case 1:
				if err := d.WriteThrough(sectors(op+1, n), off); err != nil {
					t.Fatal(err)
				}
				for i := first; i < first+n; i++ {
					durable[i], maybe[i] = op+1, nil
				}
			case 2, 3, 4:
				got := make([]byte, n*SectorSize)
				if _, err := d.ReadAt(got, off); err != nil {
					t.Fatal(err)
				}
				for i := range n {
					if m := mark(got[i*SectorSize:]); m != newest(first+i) {
						t.Fatalf("seed %d: sector %d reads %d, want %d", seed, first+i, m, newest(first+i))
					}
				}
			default:
				if _, err := d.WriteAt(sectors(op+1, n), off); err != nil {
					t.Fatal(err)
				}
				for i := first; i < first+n; i++ {
					maybe[i] = append(maybe[i], op+1)
				}
			}
		}
		d.PowerOff()
		cut, err := d.Settle(rng)
		if err != nil {
			t.Fatal(err)
		}
		for i := range durable {
			got := mark(backing[i*SectorSize:])
			legal := got == durable[i]
			for _, m := range maybe[i] {
				legal = legal || got == m
			}
			if !legal {
				t.Fatalf("seed %d: sector %d is %d after %v; flushed %d, then %v", seed, i, got, cut, durable[i], maybe[i])
			}
		}
	}
}

// TestAllKinds is a cut that loses, keeps and tears.
func TestAllKinds(t *testing.T) {
	var sum Cut
	for seed := range uint64(20) {
		backing := make(memory, 1<<20)
		d := NewDisk(backing, int64(len(backing)))
		for i := range int64(16) {
			if _, err := d.WriteAt(sectors(1, 16), i<<16); err != nil {
				t.Fatal(err)
			}
		}
		d.PowerOff()
		cut, err := d.Settle(rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		sum.Writes += cut.Writes
		sum.Sectors += cut.Sectors
		sum.Kept += cut.Kept
		sum.Torn += cut.Torn
	}
	if sum.Writes != 320 || sum.Sectors != 5120 || sum.Kept < 1000 || sum.Kept > 4000 || sum.Torn < 20 || sum.Torn > 200 {
		t.Errorf("not a fair mix: %v", sum)
	}
}

func TestSameSeedSameCut(t *testing.T) {
	run := func() []byte {
		backing := make(memory, 1<<16)
		d := NewDisk(backing, int64(len(backing)))
		for i := range int64(8) {
			if _, err := d.WriteAt(sectors(uint32(i+1), 16), i<<13); err != nil {
				t.Fatal(err)
			}
		}
		d.PowerOff()
		if _, err := d.Settle(rand.New(rand.NewPCG(7, 7))); err != nil {
			t.Fatal(err)
		}
		return backing
	}
	if !bytes.Equal(run(), run()) {
		t.Error("one seed, two outcomes")
	}
}

func TestArm(t *testing.T) {
	backing := make(memory, 1<<16)
	d := NewDisk(backing, int64(len(backing)))
	gone := d.Arm(3)
	if _, err := d.WriteAt(sectors(1, 1), 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error)
	go func() {
		_, err := d.WriteAt(sectors(2, 1), 0)
		answered <- err
	}()
	<-gone
	if _, err := d.Settle(rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answered:
		t.Errorf("a disk without power answered %v", err)
	default:
	}
	d.Close()
	if err := <-answered; !errors.Is(err, ErrPowerOff) {
		t.Errorf("got %v", err)
	}
	if mark(backing) != 1 {
		t.Errorf("the flushed write is gone, the sector holds %d", mark(backing))
	}
}

func TestFullCache(t *testing.T) {
	backing := make(memory, cacheLimit+4<<20)
	d := NewDisk(backing, int64(len(backing)))
	data := sectors(1, 1<<20/SectorSize)
	for off := int64(0); off < d.Size(); off += 1 << 20 {
		if _, err := d.WriteAt(bytes.Clone(data), off); err != nil {
			t.Fatal(err)
		}
	}
	if mark(backing) != 1 || mark(backing[4<<20:]) != 0 {
		t.Errorf("the cache did not give way to what came later, or to too much")
	}
	got := make([]byte, SectorSize)
	for _, off := range []int64{0, d.Size() - 1<<20} {
		if _, err := d.ReadAt(got, off); err != nil || mark(got) != 1 {
			t.Errorf("at %d: %d, %v", off, mark(got), err)
		}
	}
}

func TestBounds(t *testing.T) {
	d := NewDisk(make(memory, 8*SectorSize), 8*SectorSize)
	for _, tt := range []struct {
		n   int
		off int64
	}{{SectorSize, -SectorSize}, {SectorSize, 8 * SectorSize}, {9 * SectorSize, 0}, {100, 0}, {SectorSize, 100}, {SectorSize, 1 << 62}} {
		if _, err := d.WriteAt(make([]byte, tt.n), tt.off); err == nil {
			t.Errorf("%d bytes at %d were written", tt.n, tt.off)
		}
		if _, err := d.ReadAt(make([]byte, tt.n), tt.off); err == nil {
			t.Errorf("%d bytes at %d were read", tt.n, tt.off)
		}
	}
	if _, err := d.Settle(rand.New(rand.NewPCG(1, 1))); err == nil {
		t.Error("a disk with power was settled")
	}
}

func TestBreak(t *testing.T) {
	d := NewDisk(make(memory, 8*SectorSize), 8*SectorSize)
	d.Break(2*SectorSize, 4*SectorSize)
	for _, tt := range []struct {
		first, n int
		want     error
	}{{0, 2, nil}, {1, 2, ErrBroken}, {2, 1, ErrBroken}, {3, 3, ErrBroken}, {4, 4, nil}, {0, 8, ErrBroken}} {
		off := int64(tt.first) * SectorSize
		_, readErr := d.ReadAt(make([]byte, tt.n*SectorSize), off)
		_, writeErr := d.WriteAt(sectors(1, tt.n), off)
		throughErr := d.WriteThrough(sectors(1, tt.n), off)
		for _, err := range []error{readErr, writeErr, throughErr} {
			if !errors.Is(err, tt.want) {
				t.Errorf("%d sectors from %d: %v, want %v", tt.n, tt.first, err, tt.want)
			}
		}
	}
	d.Break(0, 0)
	if _, err := d.ReadAt(make([]byte, 8*SectorSize), 0); err != nil {
		t.Error(err)
	}
}
