package route

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"pillarbox/appliance/mail/smtpclient"
)

const (
	portSMTP = 25
	// maxHosts bounds the exchangers of a route. The largest providers name
	// five; a longer list only keeps a slot busy.
	maxHosts = 10
)

// Resolver is what routes need of DNS. Names are in ASCII, without the final
// dot in arguments and in answers ("." stays ".").
//
// No record of the type is an empty answer without error; ErrNoDomain says
// that the name does not exist; any other error means that nobody knows now.
type Resolver interface {
	// LookupMX gives the mail exchangers of a domain, in any order.
	LookupMX(ctx context.Context, domain string) ([]MX, error)
	// LookupAddr gives the addresses of a host.
	LookupAddr(ctx context.Context, host string) ([]netip.Addr, error)
}

// MX is a mail exchanger record.
type MX struct {
	Preference uint16 // lower is better
	Host       string
}

// ErrNoDomain is a Resolver's answer for a name that does not exist (NXDOMAIN).
var ErrNoDomain = errors.New("no such domain")

// Error is why there is no route.
type Error struct {
	Status    smtpclient.Status // RFC 3463
	Text      string
	Permanent bool
	Cause     error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %v", e.Text, e.Cause)
	}
	return e.Text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Temporary tells whether the route may exist later.
func (e *Error) Temporary() bool { return !e.Permanent }

// Config sets up a Router. All functions are asked at each use.
type Config struct {
	Resolver Resolver
	// Hostname is our own name in the world, for loop detection.
	Hostname func() string
	// SmartHost answers the smart host in force; nil means delivery by MX.
	// The function itself may be nil, too.
	SmartHost func() *SmartHost
	// AllowLoopback lets exchangers be on this machine (tests and development).
	AllowLoopback bool
	// Port is asked of exchangers; 25 where 0 (tests).
	Port uint16
}

// Router finds routes. It is safe for concurrent use.
type Router struct{ c Config }

// New makes a Router.
func New(c Config) *Router {
	if c.SmartHost == nil {
		c.SmartHost = func() *SmartHost { return nil }
	}
	if c.Port == 0 {
		c.Port = portSMTP
	}
	return &Router{c: c}
}

// Destination names where a recipient's mail goes before DNS was asked.
// Recipients with equal keys can share a transaction.
type Destination struct {
	Key    string
	domain string
	smart  *SmartHost
}

func (d Destination) String() string { return d.Key }

// Destination gives the destination of mail to address.
func (r *Router) Destination(address string) Destination {
	if s := r.c.SmartHost(); s != nil {
		return Destination{Key: "smart host " + s.String(), smart: s}
	}
	domain := strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
	return Destination{Key: domain, domain: domain}
}

// Route is where a message may be handed over.
type Route struct {
	Hosts []Host // to be tried in this order; never empty
	Auth  *smtpclient.Credentials
}

// Host is one host of a route.
type Host struct {
	Name string
	Port uint16
	TLS  smtpclient.TLSPolicy
	mx   bool // named by a stranger's DNS
}

// Route finds the route to a destination. Its error is an *Error.
func (r *Router) Route(ctx context.Context, d Destination) (Route, error) {
	if d.smart != nil {
		return d.smart.route(), nil
	}
	if strings.HasPrefix(d.domain, "[") { // address literals (RFC 5321 section 4.1.3) are for probing, not for mail
		return Route{}, &Error{Status: smtpclient.Status{5, 1, 2}, Permanent: true, Text: "mail to address literals is not sent"}
	}
	domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(d.domain, "."))
	if err != nil || domain == "" {
		return Route{}, &Error{Status: smtpclient.Status{5, 1, 2}, Permanent: true, Text: fmt.Sprintf("%q is no domain name", d.domain)}
	}
	names, err := r.exchangers(ctx, domain)
	if err != nil {
		return Route{}, err
	}
	route := Route{}
	for _, name := range names {
		route.Hosts = append(route.Hosts, Host{Name: name, Port: r.c.Port, mx: true})
	}
	return route, nil
}

// exchangers gives the names of the hosts for a domain, best first.
func (r *Router) exchangers(ctx context.Context, domain string) ([]string, error) {
	mxs, err := r.c.Resolver.LookupMX(ctx, domain)
	switch {
	case errors.Is(err, ErrNoDomain):
		return nil, &Error{Status: smtpclient.Status{5, 1, 2}, Permanent: true, Text: fmt.Sprintf("the domain %s does not exist", domain)}
	case err != nil:
		return nil, &Error{Status: smtpclient.Status{4, 4, 3}, Text: fmt.Sprintf("the mail servers of %s cannot be looked up", domain), Cause: err}
	case len(mxs) == 0: // the implicit MX (RFC 5321 section 5.1)
		if r.isSelf(domain) {
			return nil, loop(domain)
		}
		return []string{domain}, nil
	case len(mxs) == 1 && isRoot(mxs[0].Host): // null MX (RFC 7505)
		return nil, &Error{Status: smtpclient.Status{5, 1, 10}, Permanent: true, Text: fmt.Sprintf("the domain %s takes no mail", domain)}
	}
	mxs = slices.Clone(mxs)
	rand.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b MX) int { return int(a.Preference) - int(b.Preference) })
	if i := slices.IndexFunc(mxs, func(m MX) bool { return r.isSelf(m.Host) }); i >= 0 {
		own := mxs[i].Preference
		mxs = slices.DeleteFunc(mxs, func(m MX) bool { return m.Preference >= own })
		if len(mxs) == 0 {
			return nil, loop(domain)
		}
	}
	var names []string
	for _, m := range mxs {
		name := strings.ToLower(strings.TrimSuffix(m.Host, "."))
		if name != "" && !slices.Contains(names, name) && len(names) < maxHosts {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, &Error{Status: smtpclient.Status{5, 4, 4}, Permanent: true, Text: fmt.Sprintf("the mail exchangers of %s have no names", domain)}
	}
	return names, nil
}

func loop(domain string) *Error {
	return &Error{Status: smtpclient.Status{5, 4, 6}, Permanent: true,
		Text: fmt.Sprintf("mail for %s comes back to this server, which does not host it", domain)}
}

func (r *Router) isSelf(host string) bool {
	return r.c.Hostname != nil && strings.EqualFold(strings.TrimSuffix(host, "."), strings.TrimSuffix(r.c.Hostname(), "."))
}

func isRoot(host string) bool { return host == "." || host == "" }

// Addresses gives where a host of a route listens, in the order to try. Its
// error is an *Error; permanent where the host has no address at all.
//
// IPv4 comes first: many large receivers refuse mail over IPv6 for good from
// senders without reverse DNS, which few small sites have there.
func (r *Router) Addresses(ctx context.Context, h Host) ([]netip.AddrPort, error) {
	addrs, err := r.c.Resolver.LookupAddr(ctx, h.Name)
	if err != nil && !errors.Is(err, ErrNoDomain) {
		return nil, &Error{Status: smtpclient.Status{4, 4, 3}, Text: fmt.Sprintf("the address of %s cannot be looked up", h.Name), Cause: err}
	}
	var v4, v6 []netip.AddrPort
	refused := false
	for _, a := range addrs {
		a = a.Unmap()
		switch {
		case h.mx && !r.usable(a):
			refused = true
		case a.Is4():
			v4 = append(v4, netip.AddrPortFrom(a, h.Port))
		default:
			v6 = append(v6, netip.AddrPortFrom(a, h.Port))
		}
	}
	if found := append(v4, v6...); len(found) > 0 {
		return found, nil
	}
	text := fmt.Sprintf("the mail server %s has no address", h.Name)
	if refused {
		text = fmt.Sprintf("the mail server %s has no address in the network", h.Name)
	}
	// A smart host without address is a mistake in our settings or DNS, which
	// is no reason to return mail.
	status := smtpclient.Status{5, 4, 4}
	if !h.mx {
		status[0] = 4
	}
	return nil, &Error{Status: status, Permanent: h.mx, Text: text, Cause: err}
}

func (r *Router) usable(a netip.Addr) bool {
	if a.IsLoopback() {
		return r.c.AllowLoopback
	}
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a.Zone() == ""
}
