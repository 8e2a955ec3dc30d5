// Package acmetest is a public certificate authority for tests: Pebble, which
// Let's Encrypt made for that, in the process of the test. It looks names up in a
// DNS server of its own, where all are this machine but those below "missing", and
// asks for challenges at a port that Listen opens.
package acmetest

import (
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// Blocked is a name that the authority does not sign for.
const Blocked = "blocked.example.org"

// Authority is a running authority.
type Authority struct {
	URL string // of its directory
	// Roots vouch for its server and for what it signs.
	Roots *x509.CertPool
	// Down has it answer nothing but 503.
	Down atomic.Bool

	port string
}

// box is the address that all names lead to: of this machine, but not the one
// that others get their ports of, so that Listen's is not taken meanwhile.
const box = "127.0.80.1"

// Usual is the life of what most public authorities sign.
const Usual = 90 * 24 * time.Hour

// Start runs an authority until the test ends. What it signs is good for life.
func Start(t testing.TB, life time.Duration) *Authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	l, err := net.Listen("tcp", box+":0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	a := &Authority{port: l.Addr().String(), Roots: x509.NewCertPool()}
	if err := l.Close(); err != nil { // Listen opens it again
		t.Fatal(err)
	}
	silent := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	if err := store.AddBlockedDomain(Blocked); err != nil {
		t.Fatal(err)
	}
	signer := ca.New(silent, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(life.Seconds())}})
	front := wfe.New(silent, store, va.New(silent, port, port, false, nameServer(t), store), signer, []string{"example.net"}, false, false, 0, 0)
	handler := front.Handler()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.Down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	a.URL = server.URL + wfe.DirectoryPath
	a.Roots.AddCert(server.Certificate())
	root := httptest.NewRecorder()
	front.ManagementHandler().ServeHTTP(root, httptest.NewRequest(http.MethodGet, wfe.RootCertPath+"0", nil))
	if !a.Roots.AppendCertsFromPEM(root.Body.Bytes()) {
		t.Fatalf("no root: %s", root.Body)
	}
	return a
}

// Listen opens the port that the authority asks for challenges at.
func (a *Authority) Listen() (net.Listener, error) { return net.Listen("tcp", a.port) }

// nameServer runs the DNS and gives its address.
func nameServer(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		switch {
		case strings.HasPrefix(name, "missing."):
			m.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(box)}}
		}
		_ = w.WriteMsg(m) // the authority asks again
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }() // ends by Shutdown
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-done
	})
	return l.Addr().String()
}
