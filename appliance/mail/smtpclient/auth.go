package smtpclient

import (
	"context"
	"encoding/base64"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Credentials are what a smart host asks for (RFC 4954).
type Credentials struct {
	User, Password string
	// AllowPlaintext sends them over a channel that is not encrypted. A
	// connection to the machine itself needs no such leave.
	AllowPlaintext bool
}

// authenticate logs in with PLAIN (RFC 4616), or with LOGIN where the server
// knows nothing better.
func (c *Client) authenticate(ctx context.Context) *Error {
	a := c.o.Auth
	if c.tls == nil && !a.AllowPlaintext && !isLoopback(c.raw.RemoteAddr()) {
		return c.refuse(PhaseAuth, Status{4, 7, 0}, "the password is not sent without TLS")
	}
	offered, ok := c.ext["AUTH"]
	if !ok {
		return c.refuse(PhaseAuth, Status{4, 7, 0}, "the server offers no AUTH")
	}
	mechanisms := strings.Fields(strings.ToUpper(offered))
	b64 := base64.StdEncoding.EncodeToString
	var lines []string
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		lines = []string{"AUTH PLAIN " + b64([]byte("\x00"+a.User+"\x00"+a.Password))}
	case slices.Contains(mechanisms, "LOGIN"):
		lines = []string{"AUTH LOGIN", b64([]byte(a.User)), b64([]byte(a.Password))}
	default:
		return c.refuse(PhaseAuth, Status{4, 7, 0}, "the server offers neither AUTH PLAIN nor LOGIN")
	}
	for i, line := range lines {
		r, err := c.command(ctx, PhaseAuth, line)
		if err != nil {
			return err
		}
		switch last := i == len(lines)-1; {
		case last && r.positive(), !last && r.Code == 334:
		case r.Code/100 == 3 || r.positive():
			return c.refuse(PhaseAuth, Status{4, 5, 0}, "the server strayed from the AUTH exchange")
		default:
			return replyError(PhaseAuth, c.o.Host, r)
		}
	}
	return nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	return ok && ip.Unmap().IsLoopback()
}
