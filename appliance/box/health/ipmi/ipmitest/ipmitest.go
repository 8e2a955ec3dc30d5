// Package ipmitest is a management controller for tests, made of a file: its
// sensor records, their readings, its event log. What the file does not have
// the controller refuses as IPMI says.
package ipmitest

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Controller answers as the file says. The fields may be changed between requests.
type Controller struct {
	SDR        [][]byte
	Readings   map[byte][]byte // by sensor number
	Thresholds map[byte][]byte
	SEL        [][]byte
	Free       uint16 // octets left in the log

	// Reservation is asked of each request for a piece of a record where it is
	// not zero; Cancel counts how many are cancelled at first.
	Reservation uint16
	Cancel      int
	// Dead answers nothing.
	Dead bool
	// Lit are the seconds of the last request to light the identify light.
	Lit byte
	// Asked counts the requests for pieces of records.
	Asked int
}

// Load reads the file at path; lines are described in the file itself.
func Load(path string) (*Controller, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &Controller{Readings: map[byte][]byte{}, Thresholds: map[byte][]byte{}, Free: 1000}
	for s := bufio.NewScanner(f); s.Scan(); {
		kind, rest, _ := strings.Cut(s.Text(), " ")
		if kind == "" || kind[0] == '#' {
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
		if err != nil || len(b) == 0 {
			return nil, fmt.Errorf("%s: %q: %w", path, s.Text(), err)
		}
		switch kind {
		case "sdr":
			c.SDR = append(c.SDR, b)
		case "sel":
			c.SEL = append(c.SEL, b)
		case "reading":
			c.Readings[b[0]] = b[1:]
		case "thresholds":
			c.Thresholds[b[0]] = b[1:]
		default:
			return nil, fmt.Errorf("%s: unknown line %q", path, s.Text())
		}
	}
	return c, nil
}

// Exchange implements ipmi.Transport.
func (c *Controller) Exchange(netFn, lun, cmd byte, data []byte) ([]byte, error) {
	if c.Dead {
		return nil, errors.New("nobody answers")
	}
	switch {
	case netFn == 0x00 && cmd == 0x04 && len(data) == 1:
		c.Lit = data[0]
		return []byte{0}, nil
	case netFn == 0x04 && cmd == 0x2d && len(data) == 1:
		return found(c.Readings[data[0]])
	case netFn == 0x04 && cmd == 0x27 && len(data) == 1:
		return found(c.Thresholds[data[0]])
	case netFn == 0x0a && cmd == 0x20:
		r := make([]byte, 15)
		r[1] = 0x51
		binary.LittleEndian.PutUint16(r[2:], uint16(len(c.SDR)))
		return r, nil
	case netFn == 0x0a && cmd == 0x22:
		return binary.LittleEndian.AppendUint16([]byte{0}, c.Reservation), nil
	case netFn == 0x0a && cmd == 0x23 && len(data) == 6:
		return c.piece(data)
	case netFn == 0x0a && cmd == 0x40:
		r := make([]byte, 15)
		r[1] = 0x51
		binary.LittleEndian.PutUint16(r[2:], uint16(len(c.SEL)))
		binary.LittleEndian.PutUint16(r[4:], c.Free)
		return r, nil
	case netFn == 0x0a && cmd == 0x43 && len(data) == 6:
		i := find(c.SEL, binary.LittleEndian.Uint16(data[2:]))
		if i < 0 {
			return []byte{0xcb}, nil
		}
		return append(next(c.SEL, i), c.SEL[i]...), nil
	}
	return []byte{0xc1}, nil
}

func (c *Controller) piece(data []byte) ([]byte, error) {
	c.Asked++
	if c.Cancel > 0 || data[4] != 0 && binary.LittleEndian.Uint16(data) != c.Reservation {
		c.Cancel--
		c.Reservation++
		return []byte{0xc5}, nil
	}
	i := find(c.SDR, binary.LittleEndian.Uint16(data[2:]))
	if i < 0 {
		return []byte{0xcb}, nil
	}
	from := int(data[4])
	to := from + int(data[5])
	if to > len(c.SDR[i]) {
		return []byte{0xca}, nil
	}
	return append(next(c.SDR, i), c.SDR[i][from:to]...), nil
}

func found(b []byte) ([]byte, error) {
	if b == nil {
		return []byte{0xcb}, nil
	}
	return append([]byte{0}, b...), nil
}

// find looks for a record by its number: the first by 0, the last by FFFFh.
func find(list [][]byte, id uint16) int {
	if len(list) == 0 {
		return -1
	}
	switch id {
	case 0:
		return 0
	case 0xffff:
		return len(list) - 1
	}
	for i, r := range list {
		if binary.LittleEndian.Uint16(r) == id {
			return i
		}
	}
	return -1
}

// next begins a response with the number of the record after i.
func next(list [][]byte, i int) []byte {
	id := uint16(0xffff)
	if i+1 < len(list) {
		id = binary.LittleEndian.Uint16(list[i+1])
	}
	return binary.LittleEndian.AppendUint16([]byte{0}, id)
}
