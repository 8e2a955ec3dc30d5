package nts

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// Extension fields (RFC 8915 section 7.5).
const (
	fieldUniqueID    = 0x0104
	fieldCookie      = 0x0204
	fieldPlaceholder = 0x0304
	fieldSealed      = 0x0404
)

const (
	// header is the length of an NTP packet without extensions (RFC 5905
	// section 7.3), fieldHeader of a field's type and length.
	header      = 48
	fieldHeader = 4

	// uniqueIDLength is what section 5.3 asks for at least.
	uniqueIDLength = 32
	nonceLength    = 16

	// jar is how many cookies are held (section 5.7).
	jar = 8

	// notAcknowledged is the kiss code of a server that does not know a cookie.
	notAcknowledged = "NTSN"
)

var (
	errUnknownCookie = errors.New("the server does not know its keys any more")
	errUnproven      = errors.New("the answer is not authenticated")
	errFormat        = errors.New("the answer is malformed")
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// writeField adds an extension field, padded to words (RFC 7822 section 3).
func writeField(buf *bytes.Buffer, kind uint16, body []byte) {
	pad := -len(body) & 3
	var h [fieldHeader]byte
	binary.BigEndian.PutUint16(h[:], kind)
	binary.BigEndian.PutUint16(h[2:], uint16(fieldHeader+len(body)+pad))
	buf.Write(h[:])
	buf.Write(body)
	buf.Write(make([]byte, pad))
}

// writeSealed adds the field that authenticates all before it, and holds plaintext
// encrypted (RFC 8915 section 5.6).
func writeSealed(buf *bytes.Buffer, key *siv, plaintext []byte) {
	nonce := random(nonceLength)
	sealed := key.seal(plaintext, buf.Bytes(), nonce)
	body := binary.BigEndian.AppendUint16(nil, uint16(len(nonce)))
	body = binary.BigEndian.AppendUint16(body, uint16(len(sealed)))
	body = append(append(body, nonce...), sealed...)
	writeField(buf, fieldSealed, body)
}

// field is an extension field of a packet, from offset on.
type field struct {
	kind   uint16
	body   []byte
	offset int
}

// nextField reads the field at offset; end is where the next one begins.
func nextField(raw []byte, offset int) (f field, end int, err error) {
	rest := raw[offset:]
	if len(rest) < fieldHeader {
		return f, 0, errFormat
	}
	n := int(binary.BigEndian.Uint16(rest[2:]))
	if n < fieldHeader || n&3 != 0 || n > len(rest) {
		return f, 0, errFormat
	}
	return field{binary.BigEndian.Uint16(rest), rest[fieldHeader:n], offset}, offset + n, nil
}

// openAnswer returns the cookies of an answer to the question of that id. Every
// answer that is not authenticated by key is an error.
func openAnswer(raw, id []byte, key *siv) ([][]byte, error) {
	if len(raw) < header {
		return nil, errFormat
	}
	// The identifier tells that a refusal is one of our question (section 5.7);
	// it must not be believed for more than asking for new keys.
	refused := raw[1] == 0 && string(raw[12:16]) == notAcknowledged
	mine := false
	for offset := header; offset < len(raw); {
		f, end, err := nextField(raw, offset)
		if err != nil {
			return nil, err
		}
		offset = end
		switch f.kind {
		case fieldUniqueID:
			if !bytes.Equal(f.body, id) {
				return nil, fmt.Errorf("%w: it is to another question", errUnproven)
			}
			mine = true
		case fieldSealed:
			if !mine {
				return nil, fmt.Errorf("%w: it does not say to which question it is", errUnproven)
			}
			return openField(raw[:f.offset], f.body, key) // what follows is not authenticated
		}
	}
	if refused && mine {
		return nil, errUnknownCookie
	}
	return nil, errUnproven
}

// openField opens a sealed field and returns the cookies that are in it.
func openField(before, body []byte, key *siv) (cookies [][]byte, err error) {
	if len(body) < 4 {
		return nil, errFormat
	}
	nonce, sealed := int(binary.BigEndian.Uint16(body)), int(binary.BigEndian.Uint16(body[2:]))
	body = body[4:]
	padded := (nonce + 3) &^ 3
	if nonce == 0 || padded+sealed > len(body) {
		return nil, errFormat
	}
	plaintext, err := key.open(body[padded:padded+sealed], before, body[:nonce])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnproven, err)
	}
	for offset := 0; offset < len(plaintext); {
		f, end, err := nextField(plaintext, offset)
		if err != nil {
			return nil, err
		}
		if offset = end; f.kind == fieldCookie && len(f.body) > 0 && len(f.body) <= maxCookie {
			cookies = append(cookies, bytes.Clone(f.body))
		}
	}
	return cookies, nil
}
