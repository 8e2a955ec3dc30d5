package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func selfSigned(t testing.TB, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// tlsServer answers EHLO with STARTTLS, does the handshake and answers the
// second EHLO without it; extra is put behind the reply to STARTTLS.
func tlsServer(conn net.Conn, cfg *tls.Config, extra string) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	say := func(w io.Writer, s string) { _, _ = io.WriteString(w, s) }
	say(conn, "220 mx\r\n")
	_, _ = br.ReadString('\n')
	say(conn, "250-mx\r\n250-SIZE 1\r\n250 STARTTLS\r\n")
	_, _ = br.ReadString('\n')
	say(conn, "220 go on\r\n"+extra)
	if cfg == nil {
		_, _ = br.ReadByte() // the handshake has begun
		say(conn, "this is no handshake at all, is it?\r\n")
		_, _ = io.Copy(io.Discard, br)
		return
	}
	tc := tls.Server(conn, cfg)
	br = bufio.NewReader(tc)
	_, _ = br.ReadString('\n')
	say(tc, "250-mx\r\n250-AUTH PLAIN\r\n250 PIPELINING\r\n")
	for {
		line, err := br.ReadString('\n')
		switch {
		case err != nil:
			return
		case strings.HasPrefix(line, "AUTH"):
			say(tc, "235 welcome\r\n")
		default:
			say(tc, "221 bye\r\n")
			return
		}
	}
}

// tcpPair is a connection with buffers: TLS says its last words while the
// other side may be talking, which net.Pipe never takes.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestStartTLS(t *testing.T) {
	cert, pool := selfSigned(t, "mx.example.net")
	good := &tls.Config{Certificates: []tls.Certificate{cert}}
	old := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS11}
	errPolicy := errors.New("no TLSA record matches")
	for name, c := range map[string]struct {
		server *tls.Config
		extra  string
		policy TLSPolicy
		host   string
		phase  Phase
		text   string // "" where it must work
	}{
		"any certificate":         {server: good},
		"required":                {server: good, policy: TLSPolicy{Mode: TLSRequired}},
		"verified":                {server: good, policy: TLSPolicy{Mode: TLSVerified, Roots: pool}},
		"verified, final dot":     {server: good, host: "mx.example.net.", policy: TLSPolicy{Mode: TLSVerified, Roots: pool}},
		"unknown authority":       {server: good, policy: TLSPolicy{Mode: TLSVerified, Roots: x509.NewCertPool()}, phase: PhaseTLS, text: "unknown authority"},
		"wrong name":              {server: good, host: "mx.example.com", policy: TLSPolicy{Mode: TLSVerified, Roots: pool}, phase: PhaseTLS, text: "not mx.example.com"},
		"policy says yes":         {server: good, policy: TLSPolicy{Mode: TLSVerified, Verify: func(tls.ConnectionState) error { return nil }}},
		"policy says no":          {server: good, policy: TLSPolicy{Mode: TLSVerified, Verify: func(tls.ConnectionState) error { return errPolicy }}, phase: PhaseTLS, text: errPolicy.Error()},
		"broken handshake":        {phase: PhaseTLS, text: "handshake failed"},
		"too old a version":       {server: old, phase: PhaseTLS, text: "protocol version"},
		"plaintext ahead of TLS":  {server: good, extra: "250 evil\r\n", phase: PhaseTLS, text: "in the clear after"},
		"password over bad cert.": {server: good, policy: TLSPolicy{Mode: TLSVerified}, phase: PhaseTLS, text: "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			done := make(chan struct{})
			go func() { defer close(done); tlsServer(server, c.server, c.extra) }()
			o := Options{Hostname: "box.example.org", Host: "mx.example.net", TLS: c.policy, Auth: &Credentials{User: "u", Password: "p"}}
			if c.host != "" {
				o.Host = c.host
			}
			cl, err := New(context.Background(), client, o)
			if err == nil {
				if cl.TLS() == nil {
					t.Error("no TLS")
				}
				if _, ok := cl.ext["SIZE"]; ok {
					t.Error("what was said in the clear is still believed")
				}
				if _, ok := cl.ext["PIPELINING"]; !ok {
					t.Error("what was said inside is not known")
				}
				cl.Close(context.Background())
			}
			<-done
			if c.text == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Phase != c.phase || !strings.Contains(e.Text, c.text) || e.Permanent || !e.OfHost() {
				t.Fatalf("got %#v, want %q in phase %v", err, c.text, c.phase)
			}
		})
	}
}

func TestImmediateTLS(t *testing.T) {
	cert, pool := selfSigned(t, "mx.example.net")
	client, server := tcpPair(t)
	go func() {
		defer server.Close()
		tc := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{cert}})
		serve(t, tc, []string{"S: 220 mx", "C: EHLO box.example.org", "S: 250-mx", "S: 250 STARTTLS", "C: QUIT", "S: 221 bye"})
	}()
	cl, err := New(context.Background(), client, Options{Hostname: "box.example.org", Host: "mx.example.net",
		TLS: TLSPolicy{Mode: TLSVerified, Immediate: true, Roots: pool}})
	if err != nil {
		t.Fatal(err)
	}
	cl.Close(context.Background())
}

// prelude begins a conversation up to the reply to EHLO.
var prelude = []string{"S: 220 mx", "C: EHLO box.example.org", "S: 250-mx", "S: 250 PIPELINING"}

func dialScript(t *testing.T, ctx context.Context, script ...string) *Client {
	t.Helper()
	client, server := net.Pipe()
	go func() { defer server.Close(); serve(t, server, script) }()
	cl, err := New(ctx, client, Options{Hostname: "box.example.org", Host: "mx.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func TestContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, errors.New("house closes"))
		defer cancel()
		cl := dialScript(t, ctx, append(prelude, "C: MAIL FROM:<a@example.org>", "H:")...)
		out := cl.Send(ctx, Transaction{Sender: "a@example.org", Recipients: []Recipient{{Address: "b@example.net"}}, Body: strings.NewReader("x\r\n")})
		if err := out.Errors[0]; err == nil || err.Permanent || !strings.Contains(err.Error(), "house closes") {
			t.Fatalf("got %v", err)
		}
		if cl.Alive() {
			t.Error("the client still lives")
		}
		again := cl.Send(context.Background(), Transaction{Recipients: []Recipient{{Address: "b@example.net"}}})
		if again.Errors[0] == nil {
			t.Error("a dead client took a message")
		}
	})
}

// TestNeverHalfAMessage makes the body fail in the middle: no dot may follow.
func TestNeverHalfAMessage(t *testing.T) {
	client, server := net.Pipe()
	said := make(chan string, 1)
	go func() {
		br := bufio.NewReader(server)
		_, _ = io.WriteString(server, "220 mx\r\n")
		for _, reply := range []string{"250 mx\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"} {
			_, _ = br.ReadString('\n')
			_, _ = io.WriteString(server, reply)
		}
		rest, _ := io.ReadAll(br)
		said <- string(rest)
	}()
	cl, err := New(context.Background(), client, Options{Hostname: "box.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	errDisk := errors.New("disk")
	body := io.MultiReader(strings.NewReader("Subject: x\r\n\r\nhalf\r\n"), errReader{errDisk})
	out := cl.Send(context.Background(), Transaction{Sender: "a@example.org", Recipients: []Recipient{{Address: "b@example.net"}}, Body: body})
	got := out.Errors[0]
	if got == nil || !errors.Is(got, errDisk) || got.Permanent || got.OfHost() {
		t.Errorf("got %#v", got)
	}
	if s := <-said; strings.Contains(s, "\r\n.\r\n") {
		t.Errorf("the server got an end: %q", s)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// TestLastWords has a TCP server that answers in the middle of the body and
// closes its reading side.
func TestLastWords(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		br := bufio.NewReader(conn)
		_, _ = io.WriteString(conn, "220 mx\r\n")
		for _, reply := range []string{"250 mx\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"} {
			_, _ = br.ReadString('\n')
			_, _ = io.WriteString(conn, reply)
		}
		_, _ = io.CopyN(io.Discard, br, 1<<20)
		_, _ = io.WriteString(conn, "552 5.3.4 enough\r\n")
		_, _ = io.Copy(io.Discard, io.LimitReader(br, 1<<20))
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Hostname: "box.example.org", Host: "mx", Timeouts: Timeouts{Block: 300 * time.Millisecond}}
	cl, err := New(context.Background(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader(bytes.Repeat([]byte("0123456789\r\n"), 4<<20))
	out := cl.Send(context.Background(), Transaction{Sender: "a@example.org", Recipients: []Recipient{{Address: "b@example.net"}}, Body: body})
	// A reset may overtake the reply: what counts is that it failed, and that
	// a reply that came is believed.
	got := out.Errors[0]
	if got == nil || got.Phase != PhaseBody || got.Code != 0 && (got.Code != 552 || !got.Permanent) {
		t.Errorf("got %v", got)
	}
}

// TestSlowReader is a server that takes the body byte by byte, for ever: each
// block has its time.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			br := bufio.NewReader(server)
			_, _ = io.WriteString(server, "220 mx\r\n")
			for _, reply := range []string{"250 mx\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"} {
				_, _ = br.ReadString('\n')
				_, _ = io.WriteString(server, reply)
			}
			var b [1]byte
			for {
				if _, err := server.Read(b[:]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		cl, err := New(context.Background(), client, Options{Hostname: "box.example.org"})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		out := cl.Send(context.Background(), Transaction{Sender: "a@example.org", Recipients: []Recipient{{Address: "b@example.net"}},
			Body: bytes.NewReader(make([]byte, 1<<20))})
		if err := out.Errors[0]; err == nil || err.Phase != PhaseBody || err.Text != "no answer in time" {
			t.Errorf("got %v", err)
		}
		if took, want := time.Since(start), DefaultTimeouts.Block+lastWords; took > want {
			t.Errorf("took %v, want at most %v", took, want)
		}
	})
}

// TestBodyPassesUnchanged sends a canonical body of many blocks and compares
// what arrives, with the dots taken out again.
func TestBodyPassesUnchanged(t *testing.T) {
	var body bytes.Buffer
	for i := 0; body.Len() < 5*bodyBlock; i++ {
		body.WriteString(strings.Repeat(".", i%4) + strings.Repeat("x", i%211) + "\xe4\r\n")
	}
	want := body.String()
	var wire []byte
	d := newDotStuffer()
	for b := body.Next(997); len(b) > 0; b = body.Next(997) {
		wire = d.append(wire, b)
	}
	wire = d.end(wire)
	got := bytes.TrimSuffix(wire, []byte(".\r\n"))
	got = bytes.ReplaceAll(append([]byte("\r\n"), got...), []byte("\r\n."), []byte("\r\n"))[2:]
	if string(got) != want {
		t.Error("the body changed on its way")
	}
}
