package console

import (
	"errors"
	"net"
	"strings"

	"pillarbox/appliance/config"
)

// The ports that providers take mail at (RFC 8314): 587 begins in the clear and
// changes to TLS, 465 has TLS from the start. maild knows them by their numbers.
const (
	portSubmission  = "587"
	portSubmissions = "465"
)

// smartHost asks for a provider's server: its name, and which of the two usual
// ports. Whoever types a port behind the name is not asked for it.
type smartHost struct {
	host, port *field
}

// newSmartHost asks by help, and where needless is nil or false; an empty name is
// one only where optional is set. now is the server as the settings have it.
func newSmartHost(c *Catalogue, help, now string, optional bool, needless func() bool) smartHost {
	T := c.T
	s := smartHost{}
	s.host = newField(field{id: "smart_host", label: T("Smart host"), help: help, needless: needless, check: func(v string) error {
		switch {
		case v == "" && optional:
			return nil
		case v == "":
			return errors.New(T("Please fill this in."))
		}
		if _, err := config.HostPort(s.value()); err != nil {
			return errors.New(T("This must be the name of a server such as smtp.example.net, with another port smtp.example.net:2525."))
		}
		return nil
	}}, now)
	s.port = newField(field{
		id: "smart_host_port", label: T("Port"), options: []string{T("587 (STARTTLS), as most have it"), T("465 (TLS from the start)")},
		help:     T("As your provider says; for another one, type it behind the name, such as smtp.example.net:2525."),
		needless: func() bool { return s.host.hidden() || s.host.value() == "" || s.typed() },
	}, "")
	if host, port, err := net.SplitHostPort(now); err == nil && (port == portSubmission || port == portSubmissions) {
		s.host.set(host)
		if port == portSubmissions {
			s.port.choose(s.port.options[1])
		}
	}
	return s
}

// typed reports whether the port stands behind the name.
func (s smartHost) typed() bool {
	_, _, err := net.SplitHostPort(s.host.value())
	return err == nil
}

// value is the server with its port, empty where there is none.
func (s smartHost) value() string {
	v := s.host.value()
	if v == "" || s.typed() {
		return v
	}
	port := portSubmission
	if s.port.value() == s.port.options[1] {
		port = portSubmissions
	}
	return net.JoinHostPort(strings.Trim(v, "[]"), port)
}
