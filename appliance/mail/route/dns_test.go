package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// server answers questions by a function, on UDP and TCP of one port.
func server(t *testing.T, answer dns.HandlerFunc) (port string) {
	t.Helper()
	for range 20 { // the TCP port of the UDP port's number may be taken
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err != nil {
			pc.Close()
			continue
		}
		for _, s := range []*dns.Server{{PacketConn: pc, Handler: answer}, {Listener: l, Handler: answer}} {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go func() { _ = s.ActivateAndServe() }()
			<-started
			t.Cleanup(func() { _ = s.Shutdown() })
		}
		_, port, _ = net.SplitHostPort(pc.LocalAddr().String())
		return port
	}
	t.Fatal("no port free on both UDP and TCP")
	return ""
}

func resolver(t *testing.T, port string, servers ...string) *DNS {
	t.Helper()
	d := NewDNS(filepath.Join(t.TempDir(), "resolv.conf"))
	d.port = port
	setServers(t, d, servers...)
	return d
}

func setServers(t *testing.T, d *DNS, servers ...string) {
	t.Helper()
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if err := os.WriteFile(d.path+".new", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.path+".new", d.path); err != nil {
		t.Fatal(err)
	}
}

func rrs(t *testing.T, lines ...string) []dns.RR {
	var out []dns.RR
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Error(err)
			continue
		}
		out = append(out, rr)
	}
	return out
}

func TestDNS(t *testing.T) {
	records := map[string][]string{
		"MX mx.test.":       {"mx.test. 1 IN MX 10 A.test.", "mx.test. 1 IN MX 20 b.test."},
		"MX null.test.":     {"null.test. 1 IN MX 0 ."},
		"MX alias.test.":    {"alias.test. 1 IN CNAME mx.test.", "mx.test. 1 IN MX 10 a.test."},
		"MX backward.test.": {"two.test. 1 IN MX 10 c.test.", "one.test. 1 IN CNAME two.test.", "backward.test. 1 IN CNAME one.test."},
		"MX partial.test.":  {"partial.test. 1 IN CNAME mx.test."},
		"MX loop.test.":     {"loop.test. 1 IN CNAME loop2.test.", "loop2.test. 1 IN CNAME loop.test."},
		"MX noend.test.":    {"noend.test. 1 IN CNAME empty.test."},
		"MX old.test.":      {"old.test. 1 IN MX 10 a.test."},
		"MX older.test.":    {"older.test. 1 IN MX 10 a.test."},
		"MX other.test.":    {"stranger.test. 1 IN MX 10 evil.test."},
		"A both.test.":      {"both.test. 1 IN A 192.0.2.1"},
		"AAAA both.test.":   {"both.test. 1 IN AAAA 2001:db8::1"},
		"A four.test.":      {"four.test. 1 IN A 192.0.2.4"},
		"A alias4.test.":    {"alias4.test. 1 IN CNAME four.test.", "four.test. 1 IN A 192.0.2.4"},
		"A bigA.test.":      {"bigA.test. 1 IN A 192.0.2.9"},
		"A half.test.":      {"half.test. 1 IN A 192.0.2.5"},
	}
	port := server(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		name, typ := q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]
		_, udp := w.RemoteAddr().(*net.UDPAddr)
		switch {
		case strings.HasPrefix(name, "nx."), name == "dangling.test." && typ == "MX":
			m.Rcode = dns.RcodeNameError
			if name == "dangling.test." {
				m.Answer = rrs(t, "dangling.test. 1 IN CNAME nx.test.")
			}
		case strings.HasPrefix(name, "fail."), name == "half.test." && typ == "AAAA":
			m.Rcode = dns.RcodeServerFailure
		case name == "bigA.test." && udp:
			m.Truncated = true
		case name == "old.test." && q.IsEdns0() != nil: // as servers from before EDNS do
			m.Question, m.Rcode = nil, dns.RcodeFormatError
		case name == "older.test." && q.IsEdns0() != nil:
			m.Rcode = dns.RcodeNotImplemented
		case name == "odd.test.":
			m.Rcode = dns.RcodeFormatError
		case name == "confused.test.":
			m.Question[0].Name = "another.test."
		default:
			m.Answer = rrs(t, records[typ+" "+name]...)
		}
		_ = w.WriteMsg(m)
	})
	d := resolver(t, port, "127.0.0.1")
	ctx := context.Background()
	for name, want := range map[string]string{
		"mx.test":       "[{10 A.test} {20 b.test}] <nil>",
		"null.test":     "[{0 .}] <nil>",
		"alias.test":    "[{10 a.test}] <nil>",
		"backward.test": "[{10 c.test}] <nil>",
		"partial.test":  "[{10 A.test} {20 b.test}] <nil>",
		"loop.test":     "[] loop2.test: too many aliases",
		"noend.test":    "[] <nil>",
		"empty.test":    "[] <nil>",
		"other.test":    "[] <nil>",
		"nx.test":       "[] nx.test: no such domain",
		"dangling.test": "[] nx.test: no such domain",
		"old.test":      "[{10 a.test}] <nil>",
		"older.test":    "[{10 a.test}] <nil>",
		"odd.test":      "[] DNS server 127.0.0.1:" + port + ": answered FORMERR",
		"fail.test":     "[] DNS server 127.0.0.1:" + port + ": answered SERVFAIL",
		"confused.test": "[] DNS server 127.0.0.1:" + port + ": answer to another question",
	} {
		mxs, err := d.LookupMX(ctx, name)
		if got := fmt.Sprint(mxs, err); got != want {
			t.Errorf("MX %s: %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"both.test":   "[192.0.2.1 2001:db8::1] <nil>",
		"alias4.test": "[192.0.2.4] <nil>",
		"bigA.test":   "[192.0.2.9] <nil>",
		"half.test":   "[192.0.2.5] <nil>",
		"empty.test":  "[] <nil>",
		"192.0.2.77":  "[192.0.2.77] <nil>",
		"localhost":   "[127.0.0.1 ::1] <nil>",
	} {
		addrs, err := d.LookupAddr(ctx, name)
		if got := fmt.Sprint(addrs, err); got != want {
			t.Errorf("addresses of %s: %s, want %s", name, got, want)
		}
	}
	if _, err := d.LookupAddr(ctx, "nx.test"); !errors.Is(err, ErrNoDomain) {
		t.Error(err)
	}
	if _, err := d.LookupAddr(ctx, "fail.test"); err == nil || errors.Is(err, ErrNoDomain) {
		t.Error(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.LookupMX(cancelled, "mx.test"); err == nil || errors.Is(err, ErrNoDomain) {
		t.Error("a cancelled question was answered:", err)
	}
}

// TestDNSFollowsTheFile changes resolv.conf under the resolver.
func TestDNSFollowsTheFile(t *testing.T) {
	var asked atomic.Int32
	port := server(t, func(w dns.ResponseWriter, q *dns.Msg) {
		asked.Add(1)
		m := new(dns.Msg)
		m.SetReply(q)
		_ = w.WriteMsg(m)
	})
	d := resolver(t, port)
	if _, err := d.LookupMX(context.Background(), "a.test"); err == nil {
		t.Error("answered without a server")
	}
	setServers(t, d, "127.0.0.1")
	if _, err := d.LookupMX(context.Background(), "a.test"); err != nil || asked.Load() != 1 {
		t.Error(err, asked.Load())
	}
	// The first server is dead (nobody on 127.0.0.2 answers): the second one is asked.
	setServers(t, d, "127.0.0.2", "127.0.0.1")
	if _, err := d.LookupMX(context.Background(), "a.test"); err != nil {
		t.Error(err)
	}
	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
	if _, err := d.LookupMX(context.Background(), "a.test"); err == nil {
		t.Error("answered without the file")
	}
}
