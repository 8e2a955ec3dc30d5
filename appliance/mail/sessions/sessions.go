// Package sessions keeps the listeners and the open sessions of a protocol
// server, so that SMTP, IMAP and POP3 go down alike: no new connection, idle
// sessions told at once, commands under way finished while there is time, and
// nobody left when Shutdown returns, since the store is closed next.
//
// It knows neither protocols nor the network: a server gives it sessions to
// interrupt and to cut.
package sessions

import (
	"context"
	"errors"
	"net"
	"sync"
)

// ErrClosed is what serving answers after Shutdown.
var ErrClosed = errors.New("sessions: the server is shut down")

// Session is one client's. Both methods are called from other goroutines than
// the session's, and must not wait for it.
type Session interface {
	// Interrupt asks the session to end: at once where it waits for the
	// client, else after the command under way.
	Interrupt()
	// Cut ends the session's connection whatever it is doing.
	Cut()
}

// Set is the listeners and sessions of a server. The zero value is an empty
// one. It is safe for concurrent use, and must not be copied.
type Set struct {
	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	open      map[Session]chan struct{} // closed when the session is removed
}

// Serve runs serve, which accepts from l until it fails, and closes l when ctx
// ends, on Shutdown, and at the end. It gives serve's error, or ErrClosed where
// l was closed for the server to stop.
func (s *Set) Serve(ctx context.Context, l net.Listener, serve func() error) error {
	defer l.Close() // may be closed already
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrClosed
	}
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // what fails to close accepts nothing either
	defer stop()
	err := serve()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	if s.closing || ctx.Err() != nil {
		return ErrClosed
	}
	return err
}

// Add counts a session in. After Shutdown it answers false, and the caller
// closes the connection.
func (s *Set) Add(session Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if s.open == nil {
		s.open = make(map[Session]chan struct{})
	}
	s.open[session] = make(chan struct{})
	return true
}

// Remove counts a session out that was added. It is the last that the session
// does.
func (s *Set) Remove(session Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.open[session])
	delete(s.open, session)
}

// Shutdown closes the listeners, interrupts all sessions and waits for them.
// When ctx ends it cuts those that are left, and returns ctx's error once they
// have ended too.
func (s *Set) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		_ = l.Close() // as above
	}
	var ends []chan struct{}
	for session, end := range s.open {
		session.Interrupt()
		ends = append(ends, end)
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for session := range s.open {
			session.Cut()
		}
	})
	defer stop()
	for _, end := range ends {
		<-end
	}
	return ctx.Err()
}
