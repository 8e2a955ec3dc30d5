package nts

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

const serverName = "time.example.org"

// server is an NTS server of a test, for key establishment and time.
type server struct {
	t     *testing.T
	roots *x509.CertPool
	keyed net.Listener
	clock net.PacketConn

	mu        sync.Mutex
	ahead     time.Duration // of the clock of this machine
	exchanges int
	asked     int // questions that were sealed well
	cookies   map[string]*[2]*siv
	// spoil changes an answer as somebody on the way might, before it is
	// sealed, and after; nil: nobody does.
	spoil func(question, answer []byte) []byte
	// records are said instead of the right ones; nil: those.
	records []byte
}

// newServer has a certificate for name that is valid for a year around the time
// that is ahead.
func newServer(t *testing.T, name string, ahead time.Duration) *server {
	t.Helper()
	s := &server{t: t, roots: x509.NewCertPool(), ahead: ahead, cookies: map[string]*[2]*siv{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(ahead)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: at.AddDate(0, -6, 0), NotAfter: at.AddDate(0, 6, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s.roots.AddCert(cert)
	cfg := &tls.Config{NextProtos: []string{protocolName}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if s.keyed, err = tls.Listen("tcp", "127.0.0.1:0", cfg); err != nil {
		t.Fatal(err)
	}
	if s.clock, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(s.establish)
	work.Go(s.tell)
	t.Cleanup(func() {
		s.keyed.Close()
		s.clock.Close()
		work.Wait()
	})
	return s
}

// counts tells how often keys and how often the time was asked for.
func (s *server) counts() (exchanges, asked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.exchanges, s.asked
}

// establish serves RFC 8915 section 4.
func (s *server) establish() {
	for {
		c, err := s.keyed.Accept()
		if err != nil {
			return
		}
		s.exchange(c.(*tls.Conn))
		c.Close()
	}
}

func (s *server) exchange(c *tls.Conn) {
	want := request()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return // a client that does not like the certificate
	}
	if !bytes.Equal(got, want) {
		s.t.Errorf("the request is %x", got)
	}
	state := c.ConnectionState()
	c2s, s2c, err := keys(&state)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges++
	answer := s.records
	if answer == nil {
		answer = appendRecord(nil, recordProtocol|critical, []byte{0, protocolNTP})
		answer = appendRecord(answer, recordAEAD, []byte{0, aeadSIV})
		for range jar {
			answer = appendRecord(answer, recordCookie, s.cookie(&[2]*siv{c2s, s2c}))
		}
		_, port, _ := net.SplitHostPort(s.clock.LocalAddr().String())
		n, _ := strconv.ParseUint(port, 10, 16)
		answer = appendRecord(answer, recordPort, binary.BigEndian.AppendUint16(nil, uint16(n)))
		answer = appendRecord(answer, recordEnd|critical, nil)
	}
	c.Write(answer)
}

// cookie makes one for the keys of both directions.
func (s *server) cookie(keys *[2]*siv) []byte {
	c := random(100)
	s.cookies[string(c)] = keys
	return c
}

// tell serves section 5.
func (s *server) tell() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.clock.ReadFrom(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		if a := s.answer(buf[:n]); a != nil {
			s.clock.WriteTo(a, from)
		}
		s.mu.Unlock()
	}
}

func (s *server) answer(q []byte) []byte {
	a := bytes.NewBuffer(s.plain(q))
	cookies := 0
	var keys *[2]*siv
	for offset := header; offset < len(q); {
		f, end, err := nextField(q, offset)
		if err != nil {
			s.t.Error(err)
			return nil
		}
		offset = end
		switch f.kind {
		case fieldUniqueID:
			writeField(a, fieldUniqueID, f.body)
		case fieldCookie:
			cookies++
			if keys = s.cookies[string(f.body)]; keys == nil {
				raw := a.Bytes()
				raw[1] = 0 // a kiss of death
				copy(raw[12:], notAcknowledged)
				return raw
			}
			delete(s.cookies, string(f.body)) // a second use is refused
		case fieldPlaceholder:
			cookies++
		case fieldSealed:
			if _, err := openField(q[:f.offset], f.body, keys[0]); err != nil {
				s.t.Error(err)
				return nil
			}
		}
	}
	s.asked++
	var sealed bytes.Buffer
	for range cookies {
		writeField(&sealed, fieldCookie, s.cookie(keys))
	}
	writeSealed(a, keys[1], sealed.Bytes())
	if s.spoil != nil {
		return s.spoil(q, a.Bytes())
	}
	return a.Bytes()
}

// plain is an answer without extensions (RFC 5905 section 7.3).
func (s *server) plain(q []byte) []byte {
	now := s.now()
	a := make([]byte, header)
	a[0], a[1], a[2], a[3] = 4<<3|4, 1, 6, 0xec // version 4, server; stratum 1
	copy(a[12:], "GPS\x00")
	binary.BigEndian.PutUint64(a[16:], now)
	copy(a[24:], q[40:48])
	binary.BigEndian.PutUint64(a[32:], now)
	binary.BigEndian.PutUint64(a[40:], s.now())
	return a
}

// now is the time as NTP writes it: seconds since 1900, and 2^32 parts.
func (s *server) now() uint64 {
	const since1900 = 2208988800
	t := time.Now().Add(s.ahead)
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/1e9
}
