package mdns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Times to live: of records that name a host or its addresses, and of the others
// (RFC 6762 section 10).
const (
	hostTTL  = 120
	otherTTL = 75 * 60
	// legacyTTL bounds what simple resolvers are told, since they do not hear
	// of changes (section 6.7).
	legacyTTL = 10
)

const (
	// unique marks a record that nobody else has (section 10.2); in a question
	// the same bit wishes for an answer by unicast (section 5.4).
	unique    = 1 << 15
	unicast   = 1 << 15
	domain    = "local."
	enumerate = "_services._dns-sd._udp." + domain // RFC 6763 section 9
)

// Service is what the box offers.
type Service struct {
	Type string // such as "_imaps._tcp"
	Port uint16
}

// zone are the records of the box on one network.
type zone struct {
	label     string // of the host's name and of its services
	services  []Service
	addresses []netip.Addr
}

func (z *zone) host() string { return z.label + "." + domain }

// records are all records of z.
func (z *zone) records() []dns.RR {
	host := z.host()
	list := z.hostRecords()
	types := []uint16{}
	for _, rr := range list {
		if !slices.Contains(types, rr.Header().Rrtype) {
			types = append(types, rr.Header().Rrtype)
		}
	}
	for _, a := range z.addresses {
		if name, err := dns.ReverseAddr(a.String()); err == nil {
			list = append(list, &dns.PTR{Hdr: header(name, dns.TypePTR, unique, hostTTL), Ptr: host})
		}
	}
	if len(types) > 0 {
		// That there is no address of the other family saves askers the wait
		// (RFC 6762 section 6.1).
		slices.Sort(types)
		list = append(list, &dns.NSEC{Hdr: header(host, dns.TypeNSEC, unique, hostTTL), NextDomain: host, TypeBitMap: types})
	}
	for _, s := range z.services {
		kind := s.Type + "." + domain
		instance := z.label + "." + kind
		list = append(list,
			&dns.PTR{Hdr: header(enumerate, dns.TypePTR, 0, otherTTL), Ptr: kind},
			&dns.PTR{Hdr: header(kind, dns.TypePTR, 0, otherTTL), Ptr: instance},
			&dns.SRV{Hdr: header(instance, dns.TypeSRV, unique, hostTTL), Port: s.Port, Target: host},
			// RFC 6763 section 6.1: there is a TXT record even without anything to say.
			&dns.TXT{Hdr: header(instance, dns.TypeTXT, unique, otherTTL), Txt: []string{""}},
		)
	}
	return list
}

// hostRecords are the addresses of the host.
func (z *zone) hostRecords() []dns.RR {
	var list []dns.RR
	for _, a := range z.addresses {
		if a.Is4() {
			list = append(list, &dns.A{Hdr: header(z.host(), dns.TypeA, unique, hostTTL), A: a.AsSlice()})
		} else {
			list = append(list, &dns.AAAA{Hdr: header(z.host(), dns.TypeAAAA, unique, hostTTL), AAAA: a.AsSlice()})
		}
	}
	return list
}

func header(name string, kind, flags uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET | flags, Ttl: ttl}
}

// probe asks whether somebody has the name already, and says what z would have
// (RFC 6762 section 8.1).
func (z *zone) probe() *dns.Msg {
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: z.host(), Qtype: dns.TypeANY, Qclass: dns.ClassINET | unicast}}
	for _, rr := range z.hostRecords() {
		rr.Header().Class = dns.ClassINET
		m.Ns = append(m.Ns, rr)
	}
	return m
}

// announcement tells all of z; goodbye that it is gone (sections 8.3 and 10.1).
func (z *zone) announcement(goodbye bool) *dns.Msg {
	m := response()
	m.Answer = z.records()
	for _, rr := range m.Answer {
		if goodbye {
			rr.Header().Ttl = 0
		}
	}
	return m
}

func response() *dns.Msg {
	m := new(dns.Msg)
	m.Response, m.Authoritative = true, true
	return m
}

// answer answers q, nil if z has nothing to say. shared says that others may
// answer too.
func (z *zone) answer(q *dns.Msg) (m *dns.Msg, shared bool) {
	m = response()
	all := z.records()
	// Each is compared once with what the asker knows, however often it asks.
	has := map[dns.RR]bool{}
	knows := func(rr dns.RR) bool {
		if _, done := has[rr]; !done {
			has[rr] = known(q.Answer, rr)
		}
		return has[rr]
	}
	for _, question := range q.Question {
		if class := question.Qclass &^ unicast; class != dns.ClassINET && class != dns.ClassANY {
			continue
		}
		for _, rr := range all {
			h := rr.Header()
			named := strings.EqualFold(h.Name, question.Name)
			fits := question.Qtype == dns.TypeANY || question.Qtype == h.Rrtype
			if named && fits && !knows(rr) && !slices.Contains(m.Answer, rr) {
				m.Answer = append(m.Answer, rr)
				shared = shared || h.Class&unique == 0
			}
		}
		if len(m.Answer) == 0 && (question.Qtype == dns.TypeA || question.Qtype == dns.TypeAAAA) && strings.EqualFold(question.Name, z.host()) && len(q.Answer) == 0 {
			for _, rr := range all {
				if rr.Header().Rrtype == dns.TypeNSEC {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
	}
	if len(m.Answer) == 0 {
		return nil, false
	}
	m.Extra = z.extra(m.Answer, all)
	return m, shared
}

// extra are the records that an asker would ask for next (RFC 6763 section 12).
func (z *zone) extra(answers, all []dns.RR) []dns.RR {
	var extra []dns.RR
	follow := slices.Clone(answers)
	for len(follow) > 0 {
		rr := follow[0]
		follow = follow[1:]
		var name string
		switch rr := rr.(type) {
		case *dns.PTR:
			name = rr.Ptr
		case *dns.SRV:
			name = rr.Target
		default:
			continue
		}
		for _, next := range all {
			kind := next.Header().Rrtype
			if next.Header().Name != name || kind == dns.TypePTR || kind == dns.TypeNSEC {
				continue
			}
			if !slices.Contains(answers, next) && !slices.Contains(extra, next) {
				extra = append(extra, next)
				follow = append(follow, next)
			}
		}
	}
	return extra
}

// known says that the asker has rr, for half its time at least (RFC 6762 section
// 7.1).
func known(list []dns.RR, rr dns.RR) bool {
	return slices.ContainsFunc(list, func(have dns.RR) bool {
		return same(have, rr) && have.Header().Ttl >= rr.Header().Ttl/2
	})
}

// same compares records but for their time to live and the mark of uniqueness.
func same(a, b dns.RR) bool {
	a, b = dns.Copy(a), dns.Copy(b)
	a.Header().Class &^= unique
	b.Header().Class &^= unique
	return dns.IsDuplicate(a, b)
}

// legacy makes m the answer to q of a simple resolver, which expects it as from a
// name server (section 6.7).
func legacy(m, q *dns.Msg) {
	m.Id, m.Question = q.Id, q.Question
	for _, rr := range slices.Concat(m.Answer, m.Extra) {
		rr.Header().Class &^= unique
		rr.Header().Ttl = min(rr.Header().Ttl, legacyTTL)
	}
}

// conflict says that m, a response, gives the name of z to somebody else, who has
// none of the addresses in own.
func (z *zone) conflict(m *dns.Msg, own []netip.Addr) bool {
	for _, rr := range slices.Concat(m.Answer, m.Extra) {
		if !strings.EqualFold(rr.Header().Name, z.host()) || rr.Header().Ttl == 0 {
			continue
		}
		var addr netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			addr, _ = netip.AddrFromSlice(rr.A)
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(rr.AAAA)
		default:
			continue
		}
		if !slices.Contains(own, addr.Unmap()) {
			return true
		}
	}
	return false
}
