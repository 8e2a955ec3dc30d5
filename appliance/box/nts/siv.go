package nts

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
)

// sivKey is the length of a key of AEAD_AES_SIV_CMAC_256: two of AES-128
// (RFC 5297 section 6.1).
const sivKey = 32

// errForged is a message that the key did not seal.
var errForged = errors.New("the authenticator is wrong")

// siv is AES-SIV (RFC 5297) with AES-128, of the standard library's AES.
type siv struct {
	mac, ctr cipher.Block
	k1, k2   block // subkeys of CMAC
}

type block = [aes.BlockSize]byte

// newSIV returns the cipher of a key of sivKey octets.
func newSIV(key []byte) (*siv, error) {
	if len(key) != sivKey {
		return nil, fmt.Errorf("a key of %d octets, want %d", len(key), sivKey)
	}
	mac, err := aes.NewCipher(key[:sivKey/2])
	if err != nil {
		return nil, err
	}
	ctr, err := aes.NewCipher(key[sivKey/2:])
	if err != nil {
		return nil, err
	}
	s := &siv{mac: mac, ctr: ctr}
	var l block
	mac.Encrypt(l[:], l[:])
	s.k1 = double(l) // RFC 4493 section 2.3
	s.k2 = double(s.k1)
	return s, nil
}

// seal returns the synthetic IV followed by the ciphertext (RFC 5297 section 2.6).
func (s *siv) seal(plaintext []byte, associated ...[]byte) []byte {
	v := s.s2v(plaintext, associated)
	out := append(v[:], plaintext...)
	s.stream(v, out[aes.BlockSize:])
	return out
}

// open is the contrary of seal (section 2.7); errForged where that was not it.
func (s *siv) open(sealed []byte, associated ...[]byte) ([]byte, error) {
	if len(sealed) < aes.BlockSize {
		return nil, errForged
	}
	v := block(sealed)
	plaintext := append([]byte(nil), sealed[aes.BlockSize:]...)
	s.stream(v, plaintext)
	if want := s.s2v(plaintext, associated); subtle.ConstantTimeCompare(want[:], v[:]) != 1 {
		return nil, errForged
	}
	return plaintext, nil
}

// stream encrypts and decrypts in place, the counter being v without two bits.
func (s *siv) stream(v block, data []byte) {
	v[8] &= 0x7f
	v[12] &= 0x7f
	cipher.NewCTR(s.ctr, v[:]).XORKeyStream(data, data)
}

// s2v is the function of that name (section 2.4).
func (s *siv) s2v(plaintext []byte, associated [][]byte) block {
	d := s.cmac(make([]byte, aes.BlockSize))
	for _, a := range associated {
		d = xor(double(d), s.cmac(a))
	}
	if len(plaintext) < aes.BlockSize {
		return s.cmac2(nil, xor(double(d), padded(plaintext)))
	}
	cut := len(plaintext) - aes.BlockSize
	return s.cmac2(plaintext[:cut], xor(block(plaintext[cut:]), d))
}

// cmac2 is cmac of what begins with head and ends with a whole block.
func (s *siv) cmac2(head []byte, end block) block {
	return s.cmac(append(append(make([]byte, 0, len(head)+len(end)), head...), end[:]...))
}

// cmac is AES-CMAC (RFC 4493 section 2.4).
func (s *siv) cmac(m []byte) (x block) {
	for len(m) > aes.BlockSize {
		x = xor(x, block(m))
		s.mac.Encrypt(x[:], x[:])
		m = m[aes.BlockSize:]
	}
	last := xor(padded(m), s.k2)
	if len(m) == aes.BlockSize {
		last = xor(block(m), s.k1)
	}
	x = xor(x, last)
	s.mac.Encrypt(x[:], x[:])
	return x
}

// padded is m, shorter than a block, with one bit that is set behind it.
func padded(m []byte) (b block) {
	if copy(b[:], m) < aes.BlockSize {
		b[len(m)] = 0x80
	}
	return b
}

func xor(a, b block) (out block) {
	subtle.XORBytes(out[:], a[:], b[:])
	return out
}

// double multiplies by x in GF(2^128).
func double(b block) (out block) {
	carry := byte(0)
	for i := len(b) - 1; i >= 0; i-- {
		out[i], carry = b[i]<<1|carry, b[i]>>7
	}
	out[len(out)-1] ^= carry * 0x87
	return out
}
