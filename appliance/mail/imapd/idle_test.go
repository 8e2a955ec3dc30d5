package imapd

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"pillarbox/appliance/mail/conntest"
)

// idleMemory is the most that a client in IDLE may cost beyond its TLS, bytes.
const idleMemory = 64 << 10

// TestIdleMemory holds many clients in IDLE over TLS, with a mailbox selected,
// and compares what they take with as many connections to a server that does
// TLS and nothing else. Both ends are in this process, in both cases.
func TestIdleMemory(t *testing.T) {
	const clients = 200
	b := newBench(t, func(c *Config) { c.PerPerson = clients + 1 })
	seed := b.dialIn(t)
	seed.login("ann@example.org")
	for range 20 {
		seed.append("INBOX", "", []byte(readFile(t, "simple.eml")))
	}
	bare := heldMemory(t, clients, func(nc net.Conn) {
		echo := make([]byte, 7) // no more: what it takes is to be TLS's
		for {
			if _, err := io.ReadFull(nc, echo); err != nil {
				return
			}
			if _, err := nc.Write(echo); err != nil {
				return
			}
		}
	}, func(c *tls.Conn) error {
		if _, err := io.WriteString(c, "hello\r\n"); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 7))
		return err
	})
	idle := heldMemory(t, clients, b.server.ServeConn, func(c *tls.Conn) error {
		if _, err := io.WriteString(c, "a LOGIN ann@example.org secret\r\nb SELECT INBOX\r\nc FETCH 1:* (FLAGS ENVELOPE)\r\nd IDLE\r\n"); err != nil {
			return err
		}
		r := bufio.NewReaderSize(c, 512)
		for {
			line, err := r.ReadString('\n')
			if err != nil || strings.HasPrefix(line, "+ idling") {
				return err
			}
		}
	})
	each := (idle - bare) / clients
	t.Logf("TLS alone takes %d bytes a connection, IDLE %d more", bare/clients, each)
	if each > idleMemory {
		t.Errorf("a client in IDLE takes %d bytes beyond TLS, want %d at most", each, idleMemory)
	}
}

// heldMemory opens connections over TLS, has begin say what brings each to
// rest, and tells what all of them take, in bytes.
func heldMemory(t *testing.T, n int, serve func(net.Conn), begin func(*tls.Conn) error) int64 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config := conntest.ServerTLS(t)
	before := memoryInUse()
	served := make(chan struct{})
	go func() {
		for range n {
			nc, err := l.Accept()
			if err != nil {
				break
			}
			go func() {
				defer func() { served <- struct{}{} }()
				defer nc.Close()
				s := tls.Server(nc, config)
				if s.Handshake() == nil {
					serve(s)
				}
			}()
		}
	}()
	conns := make([]*tls.Conn, n)
	for i := range conns {
		c, err := tls.Dial("tcp", l.Addr().String(), conntest.ClientTLS())
		if err != nil {
			t.Fatal(err)
		}
		if err := begin(c); err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	took := memoryInUse() - before
	for _, c := range conns {
		c.Close()
	}
	for range n {
		<-served
	}
	return took
}

// memoryInUse is what the process holds on its heap and its stacks.
func memoryInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools held in the first one is free now
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
