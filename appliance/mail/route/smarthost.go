package route

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"pillarbox/appliance/mail/smtpclient"
)

const (
	portSubmission  = 587
	portSubmissions = 465
)

// SmartHost is a server that takes all mail for others.
type SmartHost struct {
	Host string // name or address, without brackets
	Port uint16
	// User and Password are for AUTH; "" means none.
	User, Password string
	// AllowPlaintext sends the password without TLS where there is none. Tests
	// and servers on the same wire only.
	AllowPlaintext bool
	// AnyCertificate sends the password to a server that cannot prove its
	// name, as one in the own house with a certificate it made itself.
	AnyCertificate bool
}

// ParseSmartHost reads "host", "host:port" or "[IPv6]:port". Without a port
// it is 587 where there is a user to log in, else 25.
func ParseSmartHost(address, user, password string) (*SmartHost, error) {
	host, port := address, ""
	if h, p, err := net.SplitHostPort(address); err == nil {
		host, port = h, p
	} else if strings.Contains(address, ":") && !strings.HasPrefix(address, "[") {
		if _, err := netip.ParseAddr(address); err != nil {
			return nil, fmt.Errorf("smart host %q: want host:port", address)
		}
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" || strings.ContainsAny(host, " \t\r\n/@[]") {
		return nil, fmt.Errorf("smart host %q: want host:port", address)
	}
	if password != "" && user == "" {
		return nil, errors.New("smart host: a password without a user")
	}
	s := &SmartHost{Host: host, Port: portSMTP, User: user, Password: password}
	if user != "" {
		s.Port = portSubmission
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("smart host %q: the port is a number from 1 to 65535", address)
		}
		s.Port = uint16(n)
	}
	return s, nil
}

func (s *SmartHost) String() string {
	return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port)))
}

// route is the route through the smart host. A password goes only to a server
// that has proven its name, unless the settings say otherwise or the server
// is this machine itself.
func (s *SmartHost) route() Route {
	h := Host{Name: s.Host, Port: s.Port}
	h.TLS.Immediate = s.Port == portSubmissions
	r := Route{}
	if s.User != "" {
		r.Auth = &smtpclient.Credentials{User: s.User, Password: s.Password, AllowPlaintext: s.AllowPlaintext}
		switch {
		case s.AllowPlaintext || s.isLocal():
			h.TLS.Mode = smtpclient.TLSOpportunistic
		case s.AnyCertificate:
			h.TLS.Mode = smtpclient.TLSRequired
		default:
			h.TLS.Mode = smtpclient.TLSVerified
		}
	}
	r.Hosts = []Host{h}
	return r
}

func (s *SmartHost) isLocal() bool {
	a, err := netip.ParseAddr(s.Host)
	return strings.EqualFold(s.Host, "localhost") || err == nil && a.IsLoopback()
}
