package guard

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// from is a connection in memory that claims an address.
type from struct {
	net.Conn
	remote net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.remote }

// pipes is a listener fed by the test.
type pipes struct {
	conns chan net.Conn
	errs  chan error
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error, 1), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.errs:
		return nil, err
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects from ip and returns the client's end.
func (p *pipes) dial(ip string) net.Conn {
	client, server := net.Pipe()
	p.conns <- from{server, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1234))}
	return client
}

func TestLimits(t *testing.T) {
	p := newPipes()
	l := Listen(p, Limits{PerIP: 2, Total: 4, Refusal: "421 busy\r\n"}, nil)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	enter := func(ip string) net.Conn { t.Helper(); p.dial(ip); return <-accepted }
	refused := func(ip string) {
		t.Helper()
		line, err := bufio.NewReader(p.dial(ip)).ReadString('\n')
		if line != "421 busy\r\n" {
			t.Errorf("%s: %q, %v, want a refusal", ip, line, err)
		}
	}
	a := enter("192.0.2.1")
	b := enter("192.0.2.1")
	refused("192.0.2.1")
	refused("::ffff:192.0.2.1") // the same host, mapped
	a.Close()
	a.Close() // counts once
	a = enter("192.0.2.1")
	refused("192.0.2.1")
	enter("2001:db8::1")
	enter("2001:db8::2")
	refused("192.0.2.9") // total
	a.Close()
	refused("2001:db8::3") // one /64 is one peer
	b.Close()
	enter("127.0.0.1")
	enter("127.0.0.1")
	if n := l.Open(); n != 4 {
		t.Errorf("open: %d, want 4", n)
	}
	l.Close()
	if _, open := <-accepted; open {
		t.Error("Accept goes on after Close")
	}
}

func TestAcceptWaitsOutShortage(t *testing.T) {
	p := newPipes()
	l := Listen(p, Limits{}, nil)
	defer l.Close()
	p.errs <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
	go p.dial("192.0.2.1")
	if c, err := l.Accept(); err != nil || c == nil {
		t.Fatalf("Accept after a shortage: %v", err)
	}
	broken := errors.New("broken")
	p.errs <- broken
	if _, err := l.Accept(); err != broken {
		t.Errorf("Accept: %v, want the lasting error", err)
	}
}

// TestTLS has a clock of its own: a handshake takes as long as a busy machine needs.
func TestTLS(t *testing.T) { synctest.Test(t, testTLS) }

func testTLS(t *testing.T) {
	p := newPipes()
	g := Listen(p, Limits{PerIP: -1, Handshake: 50 * time.Millisecond}, nil)
	l := g.TLS(&tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	silent := p.dial("192.0.2.1") // sends nothing and must neither block others nor stay

	client := tls.Client(p.dial("192.0.2.2"), &tls.Config{InsecureSkipVerify: true})
	go client.Handshake()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if !c.(*tls.Conn).ConnectionState().HandshakeComplete {
		t.Error("accepted before the handshake was complete")
	}
	if _, err := io.ReadAll(silent); err != nil {
		t.Errorf("silent client: %v, want to be disconnected", err)
	}
	c.(*tls.Conn).NetConn().Close()
	client.NetConn().Close()
	if n := g.Open(); n != 0 {
		t.Errorf("open: %d, want 0", n)
	}

	waiting := p.dial("192.0.2.3")
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := io.ReadAll(waiting); err != nil {
		t.Errorf("client in its handshake at Close: %v, want to be disconnected", err)
	}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
