package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// dnsTimeout is what one server gets for one answer, dnsRounds how often
	// all servers are asked. An attempt that fails here comes again in
	// minutes; it must not hold a slot for long.
	dnsTimeout = 5 * time.Second
	dnsRounds  = 2
	// maxAliases bounds a chain of CNAMEs.
	maxAliases = 8
	// udpSize is the answer size offered over UDP, small enough never to be
	// fragmented (the figure of DNS flag day 2020).
	udpSize = 1232
)

// DNS is the Resolver that asks the servers of a resolv.conf file. The file
// is read again whenever it changed, since the network's owner may rewrite it
// at any time. Answers are not kept: the servers asked do that.
type DNS struct {
	path string
	port string // "" asks the port of the file's form, 53

	mu      sync.Mutex
	seen    os.FileInfo
	servers []string
}

// NewDNS makes a DNS on the given resolv.conf; /etc/resolv.conf where empty.
func NewDNS(path string) *DNS {
	if path == "" {
		path = "/etc/resolv.conf"
	}
	return &DNS{path: path}
}

var _ Resolver = (*DNS)(nil)

// LookupMX implements Resolver.
func (d *DNS) LookupMX(ctx context.Context, domain string) ([]MX, error) {
	rrs, err := d.lookup(ctx, domain, dns.TypeMX)
	if err != nil {
		return nil, err
	}
	var mxs []MX
	for _, rr := range rrs {
		if mx, ok := rr.(*dns.MX); ok {
			mxs = append(mxs, MX{Preference: mx.Preference, Host: withoutDot(mx.Mx)})
		}
	}
	return mxs, nil
}

// LookupAddr implements Resolver. An address is its own answer, and localhost
// never leaves the machine (RFC 6761 section 6.3).
func (d *DNS) LookupAddr(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if strings.EqualFold(withoutDot(host), "localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	type answer struct {
		rrs []dns.RR
		err error
	}
	six := make(chan answer, 1)
	go func() {
		rrs, err := d.lookup(ctx, host, dns.TypeAAAA)
		six <- answer{rrs, err}
	}()
	rrs, err4 := d.lookup(ctx, host, dns.TypeA)
	v6 := <-six
	var addrs []netip.Addr
	for _, rr := range append(rrs, v6.rrs...) {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A
		case *dns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	if len(addrs) > 0 {
		return addrs, nil // one family's failure does not matter where the other answered
	}
	for _, err := range []error{err4, v6.err} { // "nobody knows" before "does not exist"
		if err != nil && !errors.Is(err, ErrNoDomain) {
			return nil, err
		}
	}
	return nil, errors.Join(err4, v6.err)
}

// lookup gives the records of a type, aliases followed.
func (d *DNS) lookup(ctx context.Context, name string, typ uint16) ([]dns.RR, error) {
	name = dns.Fqdn(name)
	for aliases := 0; aliases <= maxAliases; {
		reply, err := d.ask(ctx, name, typ)
		if err != nil {
			return nil, err
		}
		// Servers answer with the chain in any order, whole or in part.
		for moved := true; moved && aliases <= maxAliases; {
			moved = false
			var found []dns.RR
			for _, rr := range reply.Answer {
				if !strings.EqualFold(rr.Header().Name, name) {
					continue
				}
				if rr.Header().Rrtype == typ {
					found = append(found, rr)
				}
				if c, ok := rr.(*dns.CNAME); ok && typ != dns.TypeCNAME {
					name, moved = c.Target, true
					aliases++
					break
				}
			}
			if len(found) > 0 {
				return found, nil
			}
		}
		asked := reply.Question[0].Name
		switch {
		case reply.Rcode == dns.RcodeNameError: // of the end of the chain (RFC 6604)
			return nil, fmt.Errorf("%s: %w", withoutDot(name), ErrNoDomain)
		case strings.EqualFold(asked, name):
			return nil, nil
		}
	}
	return nil, fmt.Errorf("%s: too many aliases", withoutDot(name))
}

// ask puts a question to the servers in turn until one answers it.
func (d *DNS) ask(ctx context.Context, name string, typ uint16) (*dns.Msg, error) {
	servers, err := d.current()
	if err != nil {
		return nil, err
	}
	q := new(dns.Msg)
	q.SetQuestion(name, typ)
	q.SetEdns0(udpSize, false)
	var last error
	for range dnsRounds {
		for _, server := range servers {
			reply, err := exchange(ctx, q, server)
			if err == nil {
				return reply, nil
			}
			last = fmt.Errorf("DNS server %s: %w", server, err)
			if ctx.Err() != nil {
				return nil, last
			}
		}
	}
	return nil, last
}

// exchange asks one server, by TCP where the answer does not fit UDP.
func exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	q = q.Copy()
	q.Id = dns.Id()
	for _, network := range []string{"udp", "tcp"} {
		c := dns.Client{Net: network, Timeout: dnsTimeout, UDPSize: udpSize}
		reply, _, err := c.ExchangeContext(ctx, q, server)
		switch {
		case err != nil:
			return nil, err
		case q.IsEdns0() != nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented):
			q.Extra = nil // the server knows no EDNS (RFC 6891 section 7)
			return exchange(ctx, q, server)
		case len(reply.Question) != 1 || reply.Question[0].Qtype != q.Question[0].Qtype ||
			!strings.EqualFold(reply.Question[0].Name, q.Question[0].Name):
			return nil, errors.New("answer to another question")
		case reply.Truncated:
			continue
		case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
			return nil, fmt.Errorf("answered %s", dns.RcodeToString[reply.Rcode])
		}
		return reply, nil
	}
	return nil, errors.New("answer truncated over TCP")
}

// current gives the servers, reading the file where it is not the one read last.
func (d *DNS) current() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(d.path)
	if err != nil {
		return nil, fmt.Errorf("DNS settings: %w", err)
	}
	if d.seen == nil || !os.SameFile(info, d.seen) || !info.ModTime().Equal(d.seen.ModTime()) || info.Size() != d.seen.Size() {
		conf, err := dns.ClientConfigFromFile(d.path)
		if err != nil {
			return nil, fmt.Errorf("DNS settings: %w", err)
		}
		port := conf.Port
		if d.port != "" {
			port = d.port
		}
		d.servers = nil
		for _, s := range conf.Servers {
			d.servers = append(d.servers, net.JoinHostPort(s, port))
		}
		d.seen = info
	}
	if len(d.servers) == 0 {
		return nil, errors.New("no DNS server is set")
	}
	return slices.Clone(d.servers), nil
}

func withoutDot(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}
