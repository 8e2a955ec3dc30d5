package guard

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// TLS makes l a listener of implicit TLS. Connections come out of Accept as
// *tls.Conn with the handshake done; each handshake runs on its own, so that
// a peer that is slow or silent holds up nobody, and ends after
// Limits.Handshake. l is used only through the result from here on.
func (l *Listener) TLS(config *tls.Config) net.Listener {
	l.quiet = true
	ctx, cancel := context.WithCancel(context.Background())
	t := &tlsListener{Listener: l, config: config, ctx: ctx, cancel: cancel, ready: make(chan net.Conn)}
	go t.run()
	return t
}

type tlsListener struct {
	*Listener
	config *tls.Config
	ctx    context.Context // ends handshakes under way and those nobody will accept
	cancel context.CancelFunc
	ready  chan net.Conn

	mu  sync.Mutex
	err error // why run ended; set before ctx is cancelled
}

// run accepts and starts handshakes until the listener breaks or is closed.
func (t *tlsListener) run() {
	defer t.cancel()
	for {
		c, err := t.Listener.Accept()
		if err != nil {
			t.mu.Lock()
			t.err = err
			t.mu.Unlock()
			return
		}
		go t.handshake(c)
	}
}

func (t *tlsListener) handshake(c net.Conn) {
	ctx, cancel := context.WithTimeout(t.ctx, t.limits.Handshake)
	defer cancel()
	tc := tls.Server(c, t.config)
	if err := tc.HandshakeContext(ctx); err != nil {
		t.log.Debug("TLS handshake failed", "address", t.Addr(), "remote", c.RemoteAddr(), "error", err)
		_ = c.Close()
		return
	}
	select {
	case t.ready <- tc:
	case <-t.ctx.Done():
		_ = c.Close()
	}
}

// Accept waits for a connection that has completed its handshake.
func (t *tlsListener) Accept() (net.Conn, error) {
	select {
	case c := <-t.ready:
		return c, nil
	case <-t.ctx.Done():
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.err != nil {
			return nil, t.err
		}
		return nil, net.ErrClosed
	}
}

// Close stops accepting and ends the handshakes under way.
func (t *tlsListener) Close() error {
	err := t.Listener.Close()
	t.cancel()
	return err
}
