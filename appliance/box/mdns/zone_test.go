package mdns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func testZone() *zone {
	return &zone{
		label:     "mail",
		services:  []Service{{"_imaps._tcp", 993}, {"_submissions._tcp", 465}},
		addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	}
}

// text is the owners and types of records, as "mail.local. A".
func text(list []dns.RR) string {
	var b []string
	for _, rr := range list {
		b = append(b, rr.Header().Name+" "+dns.TypeToString[rr.Header().Rrtype])
	}
	return strings.Join(b, ", ")
}

func TestAnswer(t *testing.T) {
	imaps := "_imaps._tcp.local. 4500 IN PTR mail._imaps._tcp.local."
	for _, tt := range []struct {
		name   string
		ask    string
		kind   uint16
		known  string
		answer string
		extra  string
		shared bool
	}{
		{"address", "mail.local.", dns.TypeA, "", "mail.local. A", "", false},
		{"case does not matter", "MAIL.Local.", dns.TypeA, "", "mail.local. A", "", false},
		{"no address of the other family", "mail.local.", dns.TypeAAAA, "", "mail.local. NSEC", "", false},
		{"all of the host", "mail.local.", dns.TypeANY, "", "mail.local. A, mail.local. NSEC", "", false},
		{"reverse", "1.2.0.192.in-addr.arpa.", dns.TypePTR, "", "1.2.0.192.in-addr.arpa. PTR", "mail.local. A", false},
		{"service", "_imaps._tcp.local.", dns.TypePTR, "", "_imaps._tcp.local. PTR",
			"mail._imaps._tcp.local. SRV, mail._imaps._tcp.local. TXT, mail.local. A", true},
		{"service, known", "_imaps._tcp.local.", dns.TypePTR, imaps, "", "", false},
		{"service, known long ago", "_imaps._tcp.local.", dns.TypePTR, strings.Replace(imaps, "4500", "2000", 1), "_imaps._tcp.local. PTR",
			"mail._imaps._tcp.local. SRV, mail._imaps._tcp.local. TXT, mail.local. A", true},
		{"where a service is", "mail._imaps._tcp.local.", dns.TypeSRV, "", "mail._imaps._tcp.local. SRV", "mail.local. A", false},
		{"services", enumerate, dns.TypePTR, "", enumerate + " PTR, " + enumerate + " PTR", "", true},
		{"somebody else", "other.local.", dns.TypeA, "", "", "", false},
		{"another service", "_ipp._tcp.local.", dns.TypePTR, "", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := new(dns.Msg)
			q.Question = []dns.Question{{Name: tt.ask, Qtype: tt.kind, Qclass: dns.ClassINET | unicast}}
			if tt.known != "" {
				rr, err := dns.NewRR(tt.known)
				if err != nil {
					t.Fatal(err)
				}
				q.Answer = []dns.RR{rr}
			}
			m, shared := testZone().answer(q)
			if m == nil {
				m = new(dns.Msg)
			}
			if text(m.Answer) != tt.answer || text(m.Extra) != tt.extra || shared != tt.shared {
				t.Errorf("answer %q, extra %q, shared %v;\nwant %q, %q, %v", text(m.Answer), text(m.Extra), shared, tt.answer, tt.extra, tt.shared)
			}
		})
	}
}

// A neighbour that asks the same hundreds of times in one message, and knows hundreds
// of answers, does not make the box work for each with each.
func TestQuestionsWithoutEnd(t *testing.T) {
	q := new(dns.Msg)
	for range 500 {
		q.Question = append(q.Question, dns.Question{Name: "mail.local.", Qtype: dns.TypeANY, Qclass: dns.ClassINET})
		rr, err := dns.NewRR("mail.local. 1 IN A 192.0.2.1") // known, and about to be forgotten
		if err != nil {
			t.Fatal(err)
		}
		q.Answer = append(q.Answer, rr)
	}
	q.Answer[len(q.Answer)-1].Header().Ttl = hostTTL
	z := testZone()
	if m, _ := z.answer(q); m == nil || text(m.Answer) != "mail.local. NSEC" {
		t.Errorf("answer %v", m)
	}
	if n := testing.AllocsPerRun(1, func() { z.answer(q) }); n > 20_000 {
		t.Errorf("%.0f pieces of memory are taken", n)
	}
}

func TestConflict(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")}
	for _, tt := range []struct {
		record string
		want   bool
	}{
		{"mail.local. 120 IN A 192.0.2.9", true},
		{"mail.local. 120 IN AAAA 2001:db8::9", true},
		{"mail.local. 0 IN A 192.0.2.9", false},
		{"mail.local. 120 IN A 198.51.100.1", false},
		{"other.local. 120 IN A 192.0.2.9", false},
	} {
		rr, err := dns.NewRR(tt.record)
		if err != nil {
			t.Fatal(err)
		}
		m := response()
		m.Answer = []dns.RR{rr}
		if got := testZone().conflict(m, own); got != tt.want {
			t.Errorf("%s: conflict %v", tt.record, got)
		}
	}
}

func TestLegacy(t *testing.T) {
	q := new(dns.Msg)
	q.SetQuestion("mail.local.", dns.TypeA)
	m, _ := testZone().answer(q)
	legacy(m, q)
	h := m.Answer[0].Header()
	if m.Id != q.Id || len(m.Question) != 1 || h.Class != dns.ClassINET || h.Ttl != legacyTTL {
		t.Errorf("%v", m)
	}
}

func TestLabel(t *testing.T) {
	for name, want := range map[string]string{
		"mail.example.org": "mail", "mail": "mail", "": "pillarbox", strings.Repeat("a", 63): strings.Repeat("a", 60),
	} {
		if got := label(name); got != want {
			t.Errorf("label of %q: %q", name, got)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, m := range []*dns.Msg{testZone().probe(), testZone().announcement(false)} {
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var q dns.Msg
		if q.Unpack(raw) != nil {
			return
		}
		z := testZone()
		z.conflict(&q, nil)
		m, _ := z.answer(&q)
		if m == nil {
			return
		}
		if _, err := m.Pack(); err != nil {
			t.Errorf("an answer that cannot be sent: %v", err)
		}
	})
}
