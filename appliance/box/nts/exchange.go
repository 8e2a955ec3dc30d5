package nts

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Names and numbers of the key establishment (RFC 8915 sections 4 and 7).
const (
	protocolName = "ntske/1"
	exchangePort = "4460"
	exportLabel  = "EXPORTER-network-time-security"
	timePort     = 123

	protocolNTP = 0
	aeadSIV     = 15 // AEAD_AES_SIV_CMAC_256, which every server has (section 5.1)
)

// Records of the key establishment (section 4.1).
const (
	recordEnd = iota
	recordProtocol
	recordError
	recordWarning
	recordAEAD
	recordCookie
	recordServer
	recordPort

	critical = 0x8000
)

// Bounds of an answer: eight cookies of some hundred octets are usual.
const (
	maxAnswer = 16 << 10
	maxCookie = 1024
	maxName   = 255
)

// request is what the client says.
func request() []byte {
	var b []byte
	b = appendRecord(b, recordProtocol|critical, binary.BigEndian.AppendUint16(nil, protocolNTP))
	b = appendRecord(b, recordAEAD|critical, binary.BigEndian.AppendUint16(nil, aeadSIV))
	return appendRecord(b, recordEnd|critical, nil)
}

func appendRecord(b []byte, kind uint16, body []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// answer is what the server says.
type answer struct {
	server  string // to ask for the time; empty: the same
	port    uint16
	cookies [][]byte
}

// readAnswer reads an answer to request (section 4).
func readAnswer(r io.Reader) (*answer, error) {
	r = io.LimitReader(r, maxAnswer)
	a := &answer{port: timePort}
	var protocol, aead bool
	for {
		var h [4]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return nil, fmt.Errorf("the answer breaks off: %w", err)
		}
		kind := binary.BigEndian.Uint16(h[:])
		body := make([]byte, binary.BigEndian.Uint16(h[2:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return nil, fmt.Errorf("the answer breaks off: %w", err)
		}
		switch kind &^ critical {
		case recordEnd:
			switch {
			case !protocol || !aead:
				return nil, errors.New("the server offers nothing that is known here")
			case len(a.cookies) == 0:
				return nil, errors.New("the server gives no cookie")
			}
			return a, nil
		case recordProtocol:
			protocol = is(body, protocolNTP)
		case recordAEAD:
			aead = is(body, aeadSIV)
		case recordError, recordWarning:
			return nil, fmt.Errorf("the server refuses: %x", body)
		case recordCookie:
			if len(body) == 0 || len(body) > maxCookie {
				return nil, fmt.Errorf("a cookie of %d octets", len(body))
			}
			if len(a.cookies) < jar {
				a.cookies = append(a.cookies, body)
			}
		case recordServer:
			if len(body) == 0 || len(body) > maxName {
				return nil, errors.New("the name of the time server is no name")
			}
			a.server = string(body)
		case recordPort:
			if len(body) != 2 || binary.BigEndian.Uint16(body) == 0 {
				return nil, errors.New("the port of the time server is no port")
			}
			a.port = binary.BigEndian.Uint16(body)
		default:
			if kind&critical != 0 {
				return nil, fmt.Errorf("a record of kind %d is not known here", kind&^critical)
			}
		}
	}
}

// is reports whether body is the one number.
func is(body []byte, number uint16) bool {
	return len(body) == 2 && binary.BigEndian.Uint16(body) == number
}

// keys exports those of both directions (section 5.1).
func keys(state *tls.ConnectionState) (c2s, s2c *siv, err error) {
	for direction, key := range []**siv{&c2s, &s2c} {
		raw, err := state.ExportKeyingMaterial(exportLabel, []byte{0, protocolNTP, 0, aeadSIV, byte(direction)}, sivKey)
		if err != nil {
			return nil, nil, err
		}
		if *key, err = newSIV(raw); err != nil {
			return nil, nil, err
		}
	}
	return c2s, s2c, nil
}
