package guard

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/mail/conntest"
)

// TestLimits has a clock of its own: who is refused may take his time to read why.
func TestLimits(t *testing.T) { synctest.Test(t, testLimits) }

func testLimits(t *testing.T) {
	p := conntest.Listen()
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
	enter := func(ip string) net.Conn { t.Helper(); p.DialFrom(netip.MustParseAddr(ip)); return <-accepted }
	refused := func(ip string) {
		t.Helper()
		line, err := bufio.NewReader(p.DialFrom(netip.MustParseAddr(ip))).ReadString('\n')
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
	p := conntest.Listen()
	l := Listen(p, Limits{}, nil)
	defer l.Close()
	go func() {
		p.Fail(&net.OpError{Op: "accept", Err: syscall.EMFILE})
		p.Dial()
	}()
	if c, err := l.Accept(); err != nil || c == nil {
		t.Fatalf("Accept after a shortage: %v", err)
	}
	broken := errors.New("broken")
	go p.Fail(broken)
	if _, err := l.Accept(); err != broken {
		t.Errorf("Accept: %v, want the lasting error", err)
	}
}

// TestTLS has a clock of its own: a handshake takes as long as a busy machine needs.
func TestTLS(t *testing.T) { synctest.Test(t, testTLS) }

func testTLS(t *testing.T) {
	p := conntest.Listen()
	g := Listen(p, Limits{PerIP: -1, Handshake: 50 * time.Millisecond}, nil)
	l := g.TLS(conntest.ServerTLS(t))
	silent := p.DialFrom(netip.MustParseAddr("192.0.2.1")) // sends nothing and must neither block others nor stay

	client := tls.Client(p.DialFrom(netip.MustParseAddr("192.0.2.2")), conntest.ClientTLS())
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
	synctest.Wait() // the silent client's connection ends by itself
	if n := g.Open(); n != 0 {
		t.Errorf("open: %d, want 0", n)
	}

	waiting := p.DialFrom(netip.MustParseAddr("192.0.2.3"))
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := io.ReadAll(waiting); err != nil {
		t.Errorf("client in its handshake at Close: %v, want to be disconnected", err)
	}
}
