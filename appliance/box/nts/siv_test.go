package nts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func octets(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 5297 appendix A.
func TestSIVExamples(t *testing.T) {
	for _, tt := range []struct {
		name, key, plaintext, sealed string
		associated                   []string
	}{
		{
			"A.1", "fffefdfc fbfaf9f8 f7f6f5f4 f3f2f1f0 f0f1f2f3 f4f5f6f7 f8f9fafb fcfdfeff",
			"11223344 55667788 99aabbcc ddee",
			"85632d07 c6e8f37f 950acd32 0a2ecc93 40c02b96 90c4dc04 daef7f6a fe5c",
			[]string{"10111213 14151617 18191a1b 1c1d1e1f 20212223 24252627"},
		},
		{
			"A.2", "7f7e7d7c 7b7a7978 77767574 73727170 40414243 44454647 48494a4b 4c4d4e4f",
			"74686973 20697320 736f6d65 20706c61 696e7465 78742074 6f20656e 63727970 74207573 696e6720 5349562d 414553",
			"7bdb6e3b 432667eb 06f4d14b ff2fbd0f cb900f2f ddbe4043 26601965 c889bf17 dba77ceb 094fa663 b7a3f748 ba8af829 ea64ad54 4a272e9c 485b62a3 fd5c0d",
			[]string{
				"00112233 44556677 8899aabb ccddeeff deaddada deaddada ffeeddcc bbaa9988 77665544 33221100",
				"10203040 50607080 90a0", "09f91102 9d74e35b d84156c5 635688c0",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := newSIV(octets(t, tt.key))
			if err != nil {
				t.Fatal(err)
			}
			var associated [][]byte
			for _, a := range tt.associated {
				associated = append(associated, octets(t, a))
			}
			want, plaintext := octets(t, tt.sealed), octets(t, tt.plaintext)
			if got := s.seal(plaintext, associated...); !bytes.Equal(got, want) {
				t.Errorf("sealed: %x", got)
			}
			if got, err := s.open(want, associated...); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("opened: %x, %v", got, err)
			}
			for i := range want {
				forged := bytes.Clone(want)
				forged[i] ^= 1
				if _, err := s.open(forged, associated...); !errors.Is(err, errForged) {
					t.Errorf("octet %d was changed: %v", i, err)
				}
			}
			if _, err := s.open(want, associated[1:]...); !errors.Is(err, errForged) {
				t.Errorf("with less associated data: %v", err)
			}
		})
	}
	if _, err := newSIV(make([]byte, 16)); err == nil {
		t.Error("a short key")
	}
}

// Lengths around that of a block, which the examples leave out.
func TestSIVGoesBack(t *testing.T) {
	s, err := newSIV(random(sivKey))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		plaintext, associated := random(n), random(50-n)
		if got, err := s.open(s.seal(plaintext, associated), associated); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}
