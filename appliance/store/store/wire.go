package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// recordVersion is the version byte every value begins with.
const recordVersion = 1

// errRecord means that a record is not what was once written.
var errRecord = errors.New("store: damaged record")

// appendBytes appends a length and the bytes.
func appendBytes[T string | []byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// appendTime appends a time by its second; the zero time as 0.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.Unix())
}

// appendZoned appends a time by its second with its zone in minutes east.
func appendZoned(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(binary.AppendVarint(b, 0), 0)
	}
	_, off := t.Zone()
	return binary.AppendVarint(binary.AppendVarint(b, t.Unix()), int64(off/60))
}

// reader reads the fields of a record in order. The first thing wrong sticks,
// so that a record is read without a check at each field and judged at the end.
type reader struct {
	b   []byte
	err error
}

// readRecord begins to read a record, refusing those of a newer program.
func readRecord(b []byte) *reader {
	r := &reader{b: b}
	switch v := r.byte(); {
	case r.err != nil:
	case v > recordVersion:
		r.err = fmt.Errorf("%w: record version %d", ErrNewerStore, v)
	case v == 0:
		r.fail()
	}
	return r
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errRecord
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads the number of things to come, each of at least size bytes.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

// bytes reads a byte string; it lies in the record, it is no copy.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) time() time.Time {
	if v := r.int(); v != 0 {
		return time.Unix(v, 0).UTC()
	}
	return time.Time{}
}

func (r *reader) zoned() time.Time {
	sec, min := r.int(), r.int()
	if sec == 0 && min == 0 {
		return time.Time{}
	}
	if min == 0 {
		return time.Unix(sec, 0).UTC()
	}
	if min < -24*60 || min > 24*60 {
		r.fail()
		return time.Time{}
	}
	return time.Unix(sec, 0).In(zone(int(min)))
}

// end reports what was wrong. Bytes left over are not: a later version of the
// same record may append fields.
func (r *reader) end() error { return r.err }

// zones holds the fixed zones of quarter hours, in which nearly all mail is dated.
var zones = func() (z [2*24*4 + 1]*time.Location) {
	for i := range z {
		z[i] = time.FixedZone("", (i-24*4)*15*60)
	}
	return z
}()

func zone(minutes int) *time.Location {
	if minutes%15 == 0 {
		return zones[minutes/15+24*4]
	}
	return time.FixedZone("", minutes*60)
}

// ranges are sorted sets of numbers, kept as runs: a change to ten thousand
// neighbours takes a few bytes.
type ranges []span

// span is the numbers lo to hi, both included.
type span struct{ lo, hi uint64 }

// add appends a number that is not less than those before.
func (r ranges) add(n uint64) ranges {
	if k := len(r) - 1; k >= 0 && (n == r[k].hi || n == r[k].hi+1) {
		r[k].hi = n
		return r
	}
	return append(r, span{n, n})
}

// insert adds a number wherever it belongs.
func (r ranges) insert(n uint64) ranges {
	if k := len(r) - 1; n == 0 || k < 0 || n > r[k].hi {
		if n == 0 {
			return r
		}
		return r.add(n)
	}
	i, _ := slices.BinarySearchFunc(r, n, func(s span, n uint64) int { return cmp.Compare(s.hi, n) })
	if r[i].lo <= n { // r[i] is the first run that ends at n or beyond
		return r
	}
	if r[i].lo == n+1 {
		r[i].lo = n
		if i > 0 && r[i-1].hi+1 == n {
			r[i-1].hi = r[i].hi
			return slices.Delete(r, i, i+1)
		}
		return r
	}
	if i > 0 && r[i-1].hi+1 == n {
		r[i-1].hi = n
		return r
	}
	return slices.Insert(r, i, span{n, n})
}

func appendRanges(b []byte, r ranges) []byte {
	b = binary.AppendUvarint(b, uint64(len(r)))
	at := uint64(0)
	for _, s := range r {
		b = binary.AppendUvarint(b, s.lo-at)
		b = binary.AppendUvarint(b, s.hi-s.lo)
		at = s.hi
	}
	return b
}

func (r *reader) ranges() ranges {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	out := make(ranges, 0, n)
	at := uint64(0)
	for range n {
		lo := at + r.uint()
		hi := lo + r.uint()
		if lo < at || hi < lo {
			r.fail()
			return nil
		}
		out = append(out, span{lo, hi})
		at = hi
	}
	return out
}
