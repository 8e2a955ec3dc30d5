// Package conntest joins a protocol server and its tests by connections in
// memory, which need no ports and work inside of a synctest bubble, and gives
// both a certificate.
package conntest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Peer is the address that connections made by Dial come from.
const Peer = "192.0.2.1"

// Listener is a net.Listener that accepts what its own methods connect.
type Listener struct {
	conns chan net.Conn
	errs  chan error
	done  chan struct{}
	close func()
}

// Listen makes a listener.
func Listen() *Listener {
	done := make(chan struct{})
	return &Listener{
		conns: make(chan net.Conn), errs: make(chan error), done: done,
		close: sync.OnceFunc(func() { close(done) }),
	}
}

// Accept waits for the next connection, for Fail, or for Close, after which it
// returns net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. It may be called more than once.
func (l *Listener) Close() error {
	l.close()
	return nil
}

// Addr is without meaning.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{} }

// Fail has one Accept return err, and waits until it does.
func (l *Listener) Fail(err error) { l.errs <- err }

// Dial connects from Peer, once the server accepts, and returns the client's end.
func (l *Listener) Dial() net.Conn { return l.DialFrom(netip.MustParseAddr(Peer)) }

// DialFrom is Dial from another address.
func (l *Listener) DialFrom(peer netip.Addr) net.Conn {
	client, server := net.Pipe()
	l.conns <- conn{server, net.TCPAddrFromAddrPort(netip.AddrPortFrom(peer, 4321))}
	return client
}

// DialTLS is Dial with the handshake done; config is the server's.
func (l *Listener) DialTLS(t testing.TB, config *tls.Config) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	server := tls.Server(conn{far, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(Peer), 4321))}, config)
	client := tls.Client(near, ClientTLS())
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	l.conns <- server
	return client
}

// conn gives a connection in memory an address.
type conn struct {
	net.Conn
	remote net.Addr
}

func (c conn) RemoteAddr() net.Addr { return c.remote }

// Certificate makes a self-signed certificate for mail.example.org, valid in
// the time of this machine and in that of a synctest bubble.
func Certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mail.example.org"},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// ServerTLS is what a server with a Certificate serves by.
func ServerTLS(t testing.TB) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{Certificate(t)}}
}

// ClientTLS is what a client that takes any certificate connects by.
func ClientTLS() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
