// Package nettest tries what a mail server needs of its network, one thing at a
// time: a wire, an address, a router that answers, name servers, time servers,
// and port 25 open outwards.
//
// A test takes a few seconds at most and changes nothing. Its answer is a fact
// for the person who set the network up: what was found, or the error. What to
// do about it is for the screen to say, in the person's language.
package nettest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
)

const (
	// patience bounds one question to one server. A person watches.
	patience = 4 * time.Second

	// smtpPatience bounds the greeting of a mail server, which large providers
	// hold back for some seconds to see who is in too much of a hurry.
	smtpPatience = 12 * time.Second
)

// mailDomains are providers whose mail servers take connections from everywhere:
// when none of them answers on port 25, the line keeps it shut.
func mailDomains() []string { return []string{"gmail.com", "outlook.com", "icloud.com"} }

// Config is what the tests look at and ask by.
type Config struct {
	Interfaces  func() ([]boxapi.Interface, error)
	TimeServers func() []string
	// Neighbour tells whether the router at ip has a hardware address, having
	// asked for it.
	Neighbour func(ctx context.Context, device string, ip netip.Addr) error
	// Exchange asks a name server.
	Exchange func(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error)
	// Ask asks a time server how far the clock is behind.
	Ask  func(ctx context.Context, server string) (time.Duration, error)
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Run does one of boxapi's tests. An unknown name is a *wire.Error.
func (c Config) Run(ctx context.Context, test string) (*boxapi.NetworkTest, error) {
	tests := map[string]func(context.Context) (string, error){
		boxapi.TestLink: c.link, boxapi.TestAddress: c.address, boxapi.TestGateway: c.gateway,
		boxapi.TestDNS: c.dns, boxapi.TestTime: c.time, boxapi.TestPort25: c.port25,
	}
	try, ok := tests[test]
	if !ok {
		return nil, wire.Invalid("test", "must be one of %s", strings.Join(boxapi.NetworkTests(), ", "))
	}
	detail, err := try(ctx)
	if err != nil {
		return &boxapi.NetworkTest{Test: test, Detail: err.Error()}, nil
	}
	return &boxapi.NetworkTest{Test: test, OK: true, Detail: detail}, nil
}

func (c Config) link(context.Context) (string, error) {
	list, err := c.Interfaces()
	if err != nil {
		return "", err
	}
	var up []string
	for _, i := range list {
		if !i.Link {
			continue
		}
		if i.Speed > 0 {
			up = append(up, fmt.Sprintf("%s (%d Mbit/s)", i.Name, i.Speed))
		} else {
			up = append(up, i.Name)
		}
	}
	switch {
	case len(list) == 0:
		return "", errors.New("no network card")
	case len(up) == 0:
		return "", errors.New("no signal")
	}
	return strings.Join(up, ", "), nil
}

func (c Config) address(context.Context) (string, error) {
	list, err := c.Interfaces()
	if err != nil {
		return "", err
	}
	var found []string
	for _, i := range list {
		for _, a := range i.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil && !p.Addr().IsLinkLocalUnicast() {
				found = append(found, a)
			}
		}
	}
	if len(found) == 0 {
		return "", errors.New("no address")
	}
	return strings.Join(found, ", "), nil
}

// gateway asks for the router's hardware address: every router has to tell it,
// while many do not answer a ping.
func (c Config) gateway(ctx context.Context) (string, error) {
	list, err := c.Interfaces()
	if err != nil {
		return "", err
	}
	err = errors.New("no router is known")
	for _, i := range list {
		ip, perr := netip.ParseAddr(i.Gateway)
		if perr != nil {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, patience)
		err = c.Neighbour(limited, i.Name, ip)
		cancel()
		if err == nil {
			return ip.String(), nil
		}
		err = fmt.Errorf("%s: %w", ip, err)
	}
	return "", err
}

// servers are the name servers of all interfaces.
func (c Config) servers() ([]string, error) {
	list, err := c.Interfaces()
	var servers []string
	for _, i := range list {
		for _, s := range i.DNS {
			if !slices.Contains(servers, s) {
				servers = append(servers, s)
			}
		}
	}
	if len(servers) == 0 && err == nil {
		err = errors.New("no name server is known")
	}
	return servers, err
}

// dns asks each name server for the root's: the answer needs the Internet, or
// a server that has asked lately.
func (c Config) dns(ctx context.Context) (string, error) {
	servers, err := c.servers()
	if err != nil {
		return "", err
	}
	q := new(dns.Msg).SetQuestion(".", dns.TypeNS)
	return first(ctx, patience, servers, func(ctx context.Context, server string) (string, error) {
		_, err := c.lookup(ctx, q.Copy(), server)
		return server, err
	})
}

func (c Config) lookup(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	r, err := c.Exchange(ctx, q, net.JoinHostPort(server, "53"))
	if err != nil {
		return nil, err
	}
	if r.Rcode != dns.RcodeSuccess {
		return nil, errors.New(dns.RcodeToString[r.Rcode]) // a word of every language
	}
	return r, nil
}

func (c Config) time(ctx context.Context) (string, error) {
	servers := c.TimeServers()
	if len(servers) == 0 {
		return "", errors.New("no time server is known")
	}
	return first(ctx, patience, servers, func(ctx context.Context, server string) (string, error) {
		offset, err := c.Ask(ctx, server)
		return fmt.Sprintf("%s, %+.3f s", server, offset.Seconds()), err
	})
}

// port25 looks for the mail servers of large providers and waits for the
// greeting of one.
func (c Config) port25(ctx context.Context) (string, error) {
	servers, err := c.servers()
	if err != nil {
		return "", err
	}
	return first(ctx, smtpPatience, mailDomains(), func(ctx context.Context, domain string) (string, error) {
		host, err := c.exchanger(ctx, servers, domain)
		if err != nil {
			return "", err
		}
		if err := c.greet(ctx, host); err != nil {
			return "", fmt.Errorf("%s: %w", host, err)
		}
		return host, nil
	})
}

// exchanger is a mail server of a domain.
func (c Config) exchanger(ctx context.Context, servers []string, domain string) (string, error) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(domain), dns.TypeMX)
	err := error(nil)
	for _, s := range servers {
		var r *dns.Msg
		limited, cancel := context.WithTimeout(ctx, patience)
		r, err = c.lookup(limited, q.Copy(), s)
		cancel()
		if err != nil {
			continue
		}
		for _, rr := range r.Answer {
			if mx, ok := rr.(*dns.MX); ok {
				return strings.TrimSuffix(mx.Mx, "."), nil
			}
		}
		err = fmt.Errorf("%s has no mail server", domain)
	}
	return "", err
}

// greet waits for a mail server's greeting and says good-bye: a line that only
// seems to let port 25 out gives a connection and no greeting.
func (c Config) greet(ctx context.Context, host string) error {
	conn, err := c.Dial(ctx, "tcp", net.JoinHostPort(host, "25"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	line, err := bufio.NewReaderSize(conn, 1024).ReadString('\n')
	if err != nil {
		return fmt.Errorf("no greeting: %w", err)
	}
	if !strings.HasPrefix(line, "220") {
		return fmt.Errorf("greets with %q", strings.TrimSpace(line))
	}
	_, err = conn.Write([]byte("QUIT\r\n"))
	return err
}

// first asks all servers at once and gives what the first says that does well,
// or the first error, once all have failed.
func first(ctx context.Context, limit time.Duration, servers []string, ask func(ctx context.Context, server string) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type answer struct {
		text string
		err  error
	}
	came := make(chan answer, len(servers)) // those who answer later are not waited for
	for _, s := range servers {
		go func() {
			text, err := ask(ctx, s)
			if err != nil {
				err = fmt.Errorf("%s: %w", s, err)
			}
			came <- answer{text, err}
		}()
	}
	var failed error
	for range servers {
		a := <-came
		if a.err == nil {
			return a.text, nil
		}
		if failed == nil {
			failed = a.err
		}
	}
	return "", failed
}
