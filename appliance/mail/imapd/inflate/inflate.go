// Package inflate reads DEFLATE (RFC 1951) from a conversation.
//
// Decoders for files hand data on at the end of a block, or when their buffer
// is full. In a conversation that is too late: a client may send half a block
// that holds a whole command and wait for the answer, which mbsync does. Reader
// hands on whatever the bytes that came so far say, before it waits for more.
//
// A Reader holds 32 KiB for the window and about 5 KiB more. Input that is not
// DEFLATE is an error, and cannot do worse.
package inflate

import (
	"errors"
	"io"
)

// ErrCorrupt means that the input is not DEFLATE.
var ErrCorrupt = errors.New("inflate: input is corrupt")

const (
	windowSize = 32 << 10 // RFC 1951 section 2
	inputSize  = 4 << 10
	maxBits    = 15  // the longest code
	maxMatch   = 258 // the longest match
	endOfBlock = 256
)

// Reader decompresses. It is not for concurrent use.
type Reader struct {
	src io.Reader
	in  []byte // read and not used yet
	buf [inputSize]byte
	acc uint64 // bits that wait, the next one lowest
	nb  uint   // how many

	state  state
	final  bool // this block is the last
	stored int  // bytes to come of a stored block
	lit    code
	dist   code
	err    error

	window [windowSize]byte
	at     int // where the next byte goes in the window
	ready  int // bytes before it that were not handed on
	filled int // bytes of the window that were written, at most windowSize
}

// state says what comes next in the input.
type state uint8

const (
	stateHeader state = iota
	stateStored
	stateSymbols
)

// NewReader reads from src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Read waits for input only where it has nothing to hand on. io.EOF comes
// after a final block; input that ends before is io.ErrUnexpectedEOF, unless
// src has an error of its own.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.ready == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.err = r.step()
	}
	n := 0
	for n < len(p) && r.ready > 0 {
		from := (r.at - r.ready + windowSize) % windowSize
		k := copy(p[n:], r.window[from:min(from+r.ready, windowSize)])
		n, r.ready = n+k, r.ready-k
	}
	return n, nil
}

// step decodes until there is something to hand on and the input that came is
// used up, or the block is at its end.
func (r *Reader) step() error {
	switch r.state {
	case stateHeader:
		if r.final {
			return io.EOF
		}
		return r.header()
	case stateStored:
		return r.storedBytes()
	}
	for r.ready <= windowSize-maxMatch {
		ok, err := r.symbol()
		switch {
		case err != nil:
			return err
		case r.state == stateHeader:
			return nil
		case ok:
			continue
		case r.ready > 0 && len(r.in) == 0:
			return nil
		}
		if err := r.more(); err != nil {
			return err
		}
	}
	return nil
}

// more takes a byte of input.
func (r *Reader) more() error {
	for tries := 0; len(r.in) == 0; tries++ {
		n, err := r.src.Read(r.buf[:])
		r.in = r.buf[:n]
		switch {
		case n > 0:
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case tries == 100:
			return io.ErrNoProgress
		}
	}
	r.acc |= uint64(r.in[0]) << r.nb
	r.in = r.in[1:]
	r.nb += 8
	return nil
}

// bits takes n bits, 16 at most, waiting for them.
func (r *Reader) bits(n uint) (int, error) {
	for r.nb < n {
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	v := int(r.acc & (1<<n - 1))
	r.acc >>= n
	r.nb -= n
	return v, nil
}

// header reads what stands before the symbols of a block (RFC 1951 section 3.2.3).
func (r *Reader) header() error {
	v, err := r.bits(3)
	if err != nil {
		return err
	}
	r.final = v&1 == 1
	switch v >> 1 {
	case 0:
		r.acc, r.nb = r.acc>>(r.nb%8), r.nb-r.nb%8
		size, err := r.bits(16)
		if err != nil {
			return err
		}
		check, err := r.bits(16)
		if err != nil {
			return err
		}
		if size != ^check&0xffff {
			return ErrCorrupt
		}
		if r.stored = size; size > 0 {
			r.state = stateStored
		}
		return nil
	case 1:
		r.fixedCodes()
	case 2:
		if err := r.dynamicCodes(); err != nil {
			return err
		}
	default:
		return ErrCorrupt
	}
	r.state = stateSymbols
	return nil
}

// storedBytes takes bytes of a stored block, as many as came.
func (r *Reader) storedBytes() error {
	for r.stored > 0 && r.ready < windowSize {
		if r.nb == 0 && len(r.in) == 0 && r.ready > 0 {
			return nil
		}
		v, err := r.bits(8)
		if err != nil {
			return err
		}
		r.put(byte(v))
		r.stored--
	}
	if r.stored == 0 {
		r.state = stateHeader
	}
	return nil
}

func (r *Reader) put(b byte) {
	r.window[r.at] = b
	r.at = (r.at + 1) % windowSize
	r.ready++
	r.filled = min(r.filled+1, windowSize)
}

// Lengths and distances (RFC 1951 section 3.2.5): a base and extra bits.
var (
	lengthBase = [...]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthMore = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase   = [...]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distMore   = [...]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// symbol decodes one literal or match. ok is false where the bits at hand are
// not enough; then nothing was used.
func (r *Reader) symbol() (ok bool, err error) {
	acc, nb := r.acc, r.nb
	take := func(n uint8) int {
		v := int(acc & (1<<n - 1))
		acc >>= n
		nb -= uint(n)
		return v
	}
	sym, n, err := r.lit.next(acc, nb)
	if n == 0 {
		return false, err
	}
	take(n)
	switch {
	case sym < endOfBlock:
		r.put(byte(sym))
	case sym == endOfBlock:
		r.state = stateHeader
	default:
		if sym -= endOfBlock + 1; sym >= len(lengthBase) {
			return false, ErrCorrupt
		}
		if nb < uint(lengthMore[sym]) {
			return false, nil
		}
		length := int(lengthBase[sym]) + take(lengthMore[sym])
		d, n, err := r.dist.next(acc, nb)
		if n == 0 {
			return false, err
		}
		take(n)
		if d >= len(distBase) {
			return false, ErrCorrupt
		}
		if nb < uint(distMore[d]) {
			return false, nil
		}
		distance := int(distBase[d]) + take(distMore[d])
		if distance > r.filled {
			return false, ErrCorrupt
		}
		for range length {
			r.put(r.window[(r.at-distance+windowSize)%windowSize])
		}
	}
	r.acc, r.nb = acc, nb
	return true, nil
}
