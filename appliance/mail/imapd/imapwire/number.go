package imapwire

import (
	"github.com/emersion/go-imap/v2"
)

func parseUint(b []byte, most uint64) (uint64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= most
}

// Uint takes a number of at most most.
func (d *Decoder) Uint(most uint64) uint64 {
	if d.err != nil {
		return 0
	}
	i := d.pos
	for i < len(d.cmd) && d.cmd[i] >= '0' && d.cmd[i] <= '9' {
		i++
	}
	n, ok := parseUint(d.cmd[d.pos:i], most)
	if !ok {
		d.Fail("Number expected")
		return 0
	}
	d.pos = i
	return n
}

// Number takes a 32-bit number.
func (d *Decoder) Number() uint32 { return uint32(d.Uint(1<<32 - 1)) }

// Number64 takes a 63-bit number (RFC 9051 section 9, number64; RFC 7162 mod-sequence-value).
func (d *Decoder) Number64() uint64 { return d.Uint(1<<63 - 1) }

// IsDigit reports whether a digit comes next.
func (d *Decoder) IsDigit() bool { c := d.Peek(); return c >= '0' && c <= '9' }

// IsSet reports whether a sequence set comes next.
func (d *Decoder) IsSet() bool { return d.IsDigit() || d.Peek() == '*' || d.Peek() == '$' }

// NumSet takes a sequence-set (RFC 9051 section 9): a SeqSet, or a UIDSet
// where uid is true. The ranges come as they were written, not merged or
// sorted, a range's ends put in order; 0 stands for "*" and is the Stop where
// it is one end. "$" gives imap.SearchRes (RFC 5182).
func (d *Decoder) NumSet(uid bool) imap.NumSet {
	if d.Accept('$') {
		return imap.SearchRes()
	}
	if uid {
		var set imap.UIDSet
		d.ranges(func(lo, hi uint32) { set = append(set, imap.UIDRange{Start: imap.UID(lo), Stop: imap.UID(hi)}) })
		return set
	}
	return d.SeqSet()
}

// SeqSet takes a sequence-set without "$".
func (d *Decoder) SeqSet() imap.SeqSet {
	var set imap.SeqSet
	d.ranges(func(lo, hi uint32) { set = append(set, imap.SeqRange{Start: lo, Stop: hi}) })
	return set
}

// UIDSet takes a sequence-set of UIDs without "$".
func (d *Decoder) UIDSet() imap.UIDSet {
	var set imap.UIDSet
	d.ranges(func(lo, hi uint32) { set = append(set, imap.UIDRange{Start: imap.UID(lo), Stop: imap.UID(hi)}) })
	return set
}

func (d *Decoder) ranges(add func(lo, hi uint32)) {
	for d.err == nil {
		lo := d.SeqNumber()
		hi := lo
		if d.Accept(':') {
			hi = d.SeqNumber()
		}
		if d.err != nil {
			return
		}
		if lo == 0 || hi != 0 && hi < lo {
			lo, hi = hi, lo
		}
		add(lo, hi)
		if !d.Accept(',') {
			return
		}
	}
}

// SeqNumber takes a seq-number: nz-number or "*", which is 0.
func (d *Decoder) SeqNumber() uint32 {
	if d.Accept('*') {
		return 0
	}
	n := d.Number()
	if d.err == nil && n == 0 {
		d.Fail("0 is no message number")
	}
	return n
}

// Partial takes a partial range (RFC 9394 section 3.1): both ends count from
// the first (positive) or from the last result (negative), in the order they
// were written.
func (d *Decoder) Partial() (lo, hi int64) {
	end := func() int64 {
		neg := d.Accept('-')
		n := int64(d.Number())
		if n == 0 {
			d.Fail("0 is no position")
		}
		if neg {
			n = -n
		}
		return n
	}
	lo = end()
	d.Expect(':')
	hi = end()
	if d.err == nil && lo < 0 != (hi < 0) {
		d.Fail("Partial range mixes ends")
	}
	return lo, hi
}
