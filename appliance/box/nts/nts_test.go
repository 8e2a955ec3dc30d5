package nts

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

const year = 365 * 24 * time.Hour

// client is one that finds s under its name.
func (s *server) client() *Client {
	return &Client{Roots: s.roots, Floor: time.Now().Add(-year), Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "tcp" {
			address = s.keyed.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

func near(got, want time.Duration) bool { return (got - want).Abs() < time.Minute }

func TestAsksWithCookies(t *testing.T) {
	s := newServer(t, serverName, time.Hour)
	c := s.client()
	for i := range 3 * jar {
		offset, err := c.Offset(t.Context(), serverName, true)
		if err != nil || !near(offset, time.Hour) {
			t.Fatalf("question %d: %v, %v", i, offset, err)
		}
	}
	if exchanges, asked := s.counts(); exchanges != 1 || asked != 3*jar {
		t.Errorf("%d exchanges of keys for %d questions", exchanges, asked)
	}
	// The server forgets its keys: one answer is missed, then there are new ones.
	s.mu.Lock()
	clear(s.cookies)
	s.mu.Unlock()
	if _, err := c.Offset(t.Context(), serverName, true); !errors.Is(err, errUnknownCookie) {
		t.Errorf("keys that the server has forgotten: %v", err)
	}
	if _, err := c.Offset(t.Context(), serverName, true); err != nil {
		t.Error(err)
	}
	if exchanges, _ := s.counts(); exchanges != 2 {
		t.Errorf("%d exchanges", exchanges)
	}
}

func TestBelievesOnlyWhatIsSealed(t *testing.T) {
	s := newServer(t, serverName, 0)
	// An answer that tells another time, and is sealed by nobody.
	lie := func(_, a []byte) []byte {
		a[35] ^= 0xff
		return a
	}
	for name, spoil := range map[string]func(q, a []byte) []byte{
		"another time":     lie,
		"no extensions":    func(_, a []byte) []byte { return a[:header] },
		"only the id":      func(_, a []byte) []byte { return a[:header+fieldHeader+uniqueIDLength] },
		"no id":            func(_, a []byte) []byte { return append(a[:header:header], a[header+fieldHeader+uniqueIDLength:]...) },
		"another id":       func(_, a []byte) []byte { a[header+fieldHeader] ^= 1; return a },
		"a field of zero":  func(_, a []byte) []byte { return append(a[:header], 1, 4, 0, 0) },
		"a field cut off":  func(_, a []byte) []byte { return a[:len(a)-4] },
		"half a header":    func(_, a []byte) []byte { return a[:header/2] },
		"an empty nonce":   func(_, a []byte) []byte { return append(a[:header+36], 4, 4, 0, 8, 0, 0, 0, 0) },
		"other ciphertext": func(_, a []byte) []byte { a[len(a)-1] ^= 1; return a },
		"another's refusal": func(_, a []byte) []byte {
			a[1] = 0
			copy(a[12:], notAcknowledged)
			return a[:header]
		},
	} {
		t.Run(name, func(t *testing.T) {
			s.mu.Lock()
			s.spoil = spoil
			s.mu.Unlock()
			if offset, err := s.client().Offset(t.Context(), serverName, true); err == nil {
				t.Errorf("believed: %v", offset)
			} else if errors.Is(err, errUnknownCookie) {
				t.Error("keys are given up for a stranger")
			}
		})
	}
}

// A clock that is years wrong must not keep the right time out, nor let in whoever
// has a certificate that is none of this server.
func TestClockThatIsNotConfirmed(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ahead     time.Duration
		drift     time.Duration // of the server's clock against its certificate
		host      string
		confirmed bool
		foreign   bool // the certificate is of an authority that is not known
		want      string
	}{
		{"the clock is behind", 5 * year, 0, serverName, false, false, ""},
		{"the clock is ahead", -year / 2, 0, serverName, false, false, ""},
		{"the clock was right", 5 * year, 0, serverName, true, false, "certificate"},
		{"the certificate ended before the build", -5 * year, 0, serverName, false, false, "passed for certain"},
		{"the certificate is not of that time", 5 * year, 3 * year, serverName, false, false, "certificate"},
		{"somebody else", 5 * year, 0, "other.example.org", false, false, "certificate"},
		{"nobody's authority", 5 * year, 0, serverName, false, true, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, serverName, tt.ahead)
			s.mu.Lock()
			s.ahead += tt.drift
			s.mu.Unlock()
			c := s.client()
			if tt.foreign {
				c.Roots = newServer(t, serverName, 0).roots
			}
			offset, err := c.Offset(t.Context(), tt.host, tt.confirmed)
			if tt.want == "" && (err != nil || !near(offset, tt.ahead)) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, %v", offset, err)
			}
		})
	}
}

func TestKeyEstablishmentThatFails(t *testing.T) {
	s := newServer(t, serverName, 0)
	good := appendRecord(appendRecord(nil, recordProtocol|critical, []byte{0, 0}), recordAEAD, []byte{0, aeadSIV})
	end := appendRecord(nil, recordEnd|critical, nil)
	cookie := appendRecord(nil, recordCookie, make([]byte, 100))
	for name, records := range map[string][]byte{
		"nothing":                    {},
		"breaks off":                 append(bytes.Clone(good), 0, 5, 0),
		"no cookie":                  append(bytes.Clone(good), end...),
		"no protocol":                append(bytes.Clone(cookie), end...),
		"another cipher":             append(append(appendRecord(appendRecord(nil, recordProtocol|critical, []byte{0, 0}), recordAEAD, []byte{0, 30}), cookie...), end...),
		"an error":                   appendRecord(bytes.Clone(good), recordError|critical, []byte{0, 1}),
		"a record that is not known": appendRecord(bytes.Clone(good), 100|critical, nil),
		"an empty cookie":            appendRecord(bytes.Clone(good), recordCookie, nil),
		"port 0":                     appendRecord(bytes.Clone(good), recordPort, []byte{0, 0}),
		"no end":                     bytes.Repeat(cookie, maxAnswer/len(cookie)+1),
	} {
		t.Run(name, func(t *testing.T) {
			s.mu.Lock()
			s.records = records
			s.mu.Unlock()
			if _, err := s.client().Offset(t.Context(), serverName, true); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, asked := s.counts(); asked > 0 {
		t.Error("the time was asked for without keys")
	}
}

func FuzzAnswer(f *testing.F) {
	key, err := newSIV(make([]byte, sivKey))
	if err != nil {
		f.Fatal(err)
	}
	id := make([]byte, uniqueIDLength)
	good := bytes.NewBuffer(make([]byte, header))
	writeField(good, fieldUniqueID, id)
	writeSealed(good, key, []byte{2, 4, 0, 8, 1, 2, 3, 4})
	f.Add(good.Bytes())
	f.Add(make([]byte, header))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := openAnswer(raw, id, key); err == nil && !bytes.Contains(raw, binary.BigEndian.AppendUint16(nil, fieldSealed)) {
			t.Error("believed without a seal")
		}
	})
}

func FuzzKeyEstablishment(f *testing.F) {
	f.Add(appendRecord(appendRecord(appendRecord(request()[:6], recordAEAD, []byte{0, 15}), recordCookie, []byte{1}), recordEnd|critical, nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := readAnswer(bytes.NewReader(raw)); err == nil && (len(a.cookies) == 0 || a.port == 0) {
			t.Errorf("%+v", a)
		}
	})
}
