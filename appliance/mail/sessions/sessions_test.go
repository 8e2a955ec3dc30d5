package sessions

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a session that ends when it is interrupted, or only when it is cut.
type fake struct {
	set         *Set
	stubborn    bool
	interrupted atomic.Bool
	cut         atomic.Bool
	end         chan struct{}
}

func (f *fake) Interrupt() {
	if f.interrupted.Store(true); !f.stubborn {
		close(f.end)
	}
}
func (f *fake) Cut() { f.cut.Store(true); close(f.end) }
func (f *fake) run() { <-f.end; f.set.Remove(f) }

func TestShutdown(t *testing.T) {
	for _, tt := range []struct {
		name     string
		stubborn bool
		want     error
	}{{"all end when asked", false, nil}, {"one has to be cut", true, context.DeadlineExceeded}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s Set
				a := &fake{set: &s, end: make(chan struct{})}
				b := &fake{set: &s, end: make(chan struct{}), stubborn: tt.stubborn}
				for _, f := range []*fake{a, b} {
					if !s.Add(f) {
						t.Fatal("an open set took no session")
					}
					go f.run()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := s.Shutdown(ctx); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if !a.interrupted.Load() || !b.interrupted.Load() {
					t.Error("a session was not asked to end")
				}
				if a.cut.Load() || b.cut.Load() != tt.stubborn {
					t.Errorf("cut: %v, %v", a.cut.Load(), b.cut.Load())
				}
				if s.Add(a) {
					t.Error("a set that is shut down took a session")
				}
			})
		})
	}
}

func TestServe(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	accept := func(l net.Listener) func() error {
		return func() error { _, err := l.Accept(); return err }
	}
	var s Set
	ctx, cancel := context.WithCancel(t.Context())
	l := listen()
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l, accept(l)) }()
	cancel()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("when its context ended: %v", err)
	}
	l = listen()
	fault := errors.New("out of files")
	if err := s.Serve(t.Context(), l, func() error { return fault }); !errors.Is(err, fault) {
		t.Errorf("when accepting failed: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener was left open: %v", err)
	}
	l = listen()
	begun := make(chan struct{})
	go func() { ended <- s.Serve(t.Context(), l, func() error { close(begun); return accept(l)() }) }()
	<-begun
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("at the shutdown: %v", err)
	}
	l = listen()
	if err := s.Serve(t.Context(), l, accept(l)); !errors.Is(err, ErrClosed) {
		t.Errorf("after the shutdown: %v", err)
	}
}

func TestCounter(t *testing.T) {
	var c Counter[string]
	for i, want := range []bool{true, true, false} {
		if c.Enter("ann", 2) != want {
			t.Errorf("ann enters for the %d. time: %v", i+1, !want)
		}
	}
	if !c.Enter("bob", 2) {
		t.Error("the limit is not two for each")
	}
	c.Leave("ann")
	if !c.Enter("ann", 2) || c.Enter("ann", 2) {
		t.Error("leaving does not make room for one")
	}
}
