package inflate

// code is a canonical Huffman code (RFC 1951 section 3.2.2): how many symbols
// have each length, and the symbols by length and value.
type code struct {
	count  [maxBits + 1]uint16
	symbol [288]uint16
}

// next decodes a symbol from nb bits; n is how many bits it takes, 0 where
// they are too few. A value that no symbol has is ErrCorrupt.
func (c *code) next(acc uint64, nb uint) (sym int, n uint8, err error) {
	value, first, index := 0, 0, 0
	for n = 1; n <= maxBits; n++ {
		if uint(n) > nb {
			return 0, 0, nil
		}
		value |= int(acc & 1)
		acc >>= 1
		count := int(c.count[n])
		if value-count < first {
			return int(c.symbol[index+value-first]), n, nil
		}
		index += count
		first = (first + count) << 1
		value <<= 1
	}
	return 0, 0, ErrCorrupt
}

// set makes the code of the lengths of all symbols. Codes that are not full
// are taken: encoders make them for a single distance. Too many are not.
func (c *code) set(lengths []uint8) error {
	c.count = [maxBits + 1]uint16{}
	for _, l := range lengths {
		c.count[l]++
	}
	left := 1
	var offset [maxBits + 1]uint16
	for n := 1; n <= maxBits; n++ {
		if left = left<<1 - int(c.count[n]); left < 0 {
			return ErrCorrupt
		}
		if n < maxBits {
			offset[n+1] = offset[n] + c.count[n]
		}
	}
	for sym, l := range lengths {
		if l > 0 {
			c.symbol[offset[l]] = uint16(sym)
			offset[l]++
		}
	}
	c.count[0] = 0
	return nil
}

// fixedCodes sets the codes of RFC 1951 section 3.2.6.
func (r *Reader) fixedCodes() {
	var l [288]uint8
	for i := range l {
		switch {
		case i < 144, i >= 280:
			l[i] = 8
		case i < 256:
			l[i] = 9
		default:
			l[i] = 7
		}
	}
	var d [32]uint8
	for i := range d {
		d[i] = 5
	}
	// Both are right by themselves.
	_ = r.lit.set(l[:])
	_ = r.dist.set(d[:])
}

// lengthOrder is how the lengths of the code of lengths are written.
var lengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicCodes reads the codes of a block (RFC 1951 section 3.2.7).
func (r *Reader) dynamicCodes() error {
	v, err := r.bits(14)
	if err != nil {
		return err
	}
	nlit, ndist, nlen := v&31+257, v>>5&31+1, v>>10+4
	if nlit > 286 || ndist > 30 {
		return ErrCorrupt
	}
	var lengths [286 + 30]uint8
	for i := range nlen {
		v, err := r.bits(3)
		if err != nil {
			return err
		}
		lengths[lengthOrder[i]] = uint8(v)
	}
	if err := r.lit.set(lengths[:19]); err != nil {
		return err
	}
	lengths = [286 + 30]uint8{}
	for i := 0; i < nlit+ndist; {
		sym, n, err := r.lit.next(r.acc, r.nb)
		if err != nil {
			return err
		}
		if n == 0 {
			if err := r.more(); err != nil {
				return err
			}
			continue
		}
		if _, err := r.bits(uint(n)); err != nil {
			return err
		}
		if sym < 16 {
			lengths[i] = uint8(sym)
			i++
			continue
		}
		var repeat, extra int
		var value uint8
		switch sym {
		case 16:
			if i == 0 {
				return ErrCorrupt
			}
			value = lengths[i-1]
			extra, err = r.bits(2)
			repeat = 3 + extra
		case 17:
			extra, err = r.bits(3)
			repeat = 3 + extra
		default:
			extra, err = r.bits(7)
			repeat = 11 + extra
		}
		if err != nil {
			return err
		}
		if i+repeat > nlit+ndist {
			return ErrCorrupt
		}
		for range repeat {
			lengths[i] = value
			i++
		}
	}
	if lengths[endOfBlock] == 0 {
		return ErrCorrupt
	}
	if err := r.lit.set(lengths[:nlit]); err != nil {
		return err
	}
	return r.dist.set(lengths[nlit : nlit+ndist])
}
