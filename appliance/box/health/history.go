package health

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"pillarbox/appliance/api/healthapi"
)

// A ring keeps the points of one resolution: the slot of a point follows from
// its time, so that nothing has to be searched, moved or cleaned up. A slot
// holds its time as well: one whose time is not of the present round is empty.
//
// File, one per reading, little endian, rings one after the other:
//
//	8    "PBXRING1"
//	20*n per slot: time (uint32, seconds since 1970 of the slot's begin), count
//	     (uint32), mean, least, greatest (float32)
const (
	ringMagic = "PBXRING1"
	slotSize  = 20
)

// resolution is one ring of every series.
type resolution struct {
	step  time.Duration
	slots int
}

// at is the slot of a point that begins at a time, in seconds since 1970, which a
// clock that was never set may be before.
func (r resolution) at(begin int64) int {
	n := int64(r.slots)
	return int((begin/int64(r.step/time.Second)%n + n) % n)
}

// resolutions: minutes of two days, hours of two months, days of a year.
func resolutions() []resolution {
	return []resolution{{time.Minute, 2 * 24 * 60}, {time.Hour, 62 * 24}, {24 * time.Hour, 366}}
}

// maxSeries bounds the folder, to 256 files of 95 kB at a start and twice as many
// before the next: disks, cards and sensors come and go, and the files of those
// that went are the ones that were written longest ago. Their age is not asked
// for: a clock that is wrong must not take the history away.
const maxSeries = 256

// History keeps the readings of a year. Points are kept in memory until Flush,
// which a small disk survives for years when it comes once an hour; a power
// cut loses what was not flushed and nothing else.
type History struct {
	dir string

	mu     sync.Mutex
	series map[string]*series
}

type slot struct {
	begin, count   uint32
	mean, min, max float32
}

type series struct {
	rings [][]slot
	dirty []map[int]bool
}

// OpenHistory keeps its files in dir, which it makes.
func OpenHistory(dir string) (*History, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	// On a volume that cannot be written to they stay: the watching goes on.
	_ = keepNewest(dir, maxSeries)
	return &History{dir: dir, series: map[string]*series{}}, nil
}

func (h *History) path(id string) string {
	return filepath.Join(h.dir, url.PathEscape(id)+".ring")
}

// get finds a series, in its file where there is one. mu is held.
func (h *History) get(id string) (*series, error) {
	if s := h.series[id]; s != nil {
		return s, nil
	}
	s := &series{}
	for _, r := range resolutions() {
		s.rings = append(s.rings, make([]slot, r.slots))
		s.dirty = append(s.dirty, map[int]bool{})
	}
	raw, err := os.ReadFile(h.path(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("history of %s: %w", id, err)
	}
	if len(raw) > len(ringMagic) && string(raw[:len(ringMagic)]) == ringMagic {
		raw = raw[len(ringMagic):]
		for _, ring := range s.rings {
			for i := range ring {
				if len(raw) < slotSize {
					break
				}
				ring[i] = readSlot(raw)
				raw = raw[slotSize:]
			}
		}
	}
	h.series[id] = s
	return s, nil
}

func readSlot(b []byte) slot {
	f := func(at int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[at:])) }
	return slot{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), f(8), f(12), f(16)}
}

func (s slot) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, s.begin)
	b = binary.LittleEndian.AppendUint32(b, s.count)
	for _, v := range []float32{s.mean, s.min, s.max} {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// Add takes a reading's value at a time.
func (h *History) Add(id string, at time.Time, v float64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.series) >= maxSeries && h.series[id] == nil {
		return fmt.Errorf("history of %s: there are %d readings already", id, maxSeries)
	}
	s, err := h.get(id)
	if err != nil {
		return err
	}
	for i, r := range resolutions() {
		begin := at.Truncate(r.step).Unix()
		n := r.at(begin)
		p := &s.rings[i][n]
		f := float32(v)
		if p.begin != uint32(begin) || p.count == 0 {
			*p = slot{uint32(begin), 1, f, f, f}
		} else {
			p.count++
			p.mean += (f - p.mean) / float32(p.count)
			p.min, p.max = min(p.min, f), max(p.max, f)
		}
		s.dirty[i][n] = true
	}
	return nil
}

// Points are the values of a span that ends now, the oldest first.
func (h *History) Points(id, span string, now time.Time) ([]healthapi.Point, error) {
	ring, length := 0, time.Hour
	switch span {
	case healthapi.SpanDay:
		length = 24 * time.Hour
	case healthapi.SpanMonth:
		ring, length = 1, 31*24*time.Hour
	case healthapi.SpanYear:
		ring, length = 2, 365*24*time.Hour
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.series[id] == nil {
		if _, err := os.Stat(h.path(id)); err != nil {
			return nil, fmt.Errorf("no reading %q: %w", id, fs.ErrNotExist)
		}
	}
	s, err := h.get(id)
	if err != nil {
		return nil, err
	}
	r := resolutions()[ring]
	var points []healthapi.Point
	for at := now.Add(-length).Truncate(r.step); !at.After(now); at = at.Add(r.step) {
		p := s.rings[ring][r.at(at.Unix())]
		if p.count > 0 && p.begin == uint32(at.Unix()) {
			points = append(points, healthapi.Point{Time: at, Mean: float64(p.mean), Min: float64(p.min), Max: float64(p.max)})
		}
	}
	return points, nil
}

// Flush writes what came since the last time.
func (h *History) Flush() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for id, s := range h.series {
		if err := s.flush(h.path(id)); err != nil {
			errs = append(errs, fmt.Errorf("history of %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (s *series) flush(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(ringMagic), 0); err != nil {
		return err
	}
	base := int64(len(ringMagic))
	for i, ring := range s.rings {
		for n := range s.dirty[i] {
			if _, err := f.WriteAt(ring[n].append(nil), base+int64(n)*slotSize); err != nil {
				return err
			}
		}
		clear(s.dirty[i])
		base += int64(len(ring)) * slotSize
	}
	return f.Close()
}

// daysToFull fits a line through a month of free space and says when it meets
// zero. ok is false where space does not shrink, or too little is known.
func daysToFull(points []healthapi.Point) (days float64, ok bool) {
	const least = 3 * 24 // hours: a weekend is no trend
	if len(points) < least {
		return 0, false
	}
	first := points[0].Time
	var n, sx, sy, sxx, sxy float64
	for _, p := range points {
		x := p.Time.Sub(first).Hours() / 24
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+p.Mean, sxx+x*x, sxy+x*p.Mean
	}
	d := n*sxx - sx*sx
	if d == 0 {
		return 0, false
	}
	slope := (n*sxy - sx*sy) / d
	if slope >= 0 {
		return 0, false
	}
	return points[len(points)-1].Mean / -slope, true
}
