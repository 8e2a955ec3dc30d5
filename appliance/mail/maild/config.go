package maild

import (
	"crypto/x509"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"time"
)

// Config says where things are.
type Config struct {
	Data      string // folder that holds the store's
	State     string // folder that holds the certificates'
	Provision string // provisioning file; "" for none
	// KeepProvision leaves the provisioning file where it is (development).
	KeepProvision bool
	Socket        string // of the API

	// Listen is the address ports are opened on; all of the machine where empty.
	Listen string
	// PortOffset is added to every port.
	PortOffset int
	// AnyPort takes a free port for each service instead (tests).
	AnyPort bool

	// AllowLoopback lets mail go out to this machine itself (development).
	AllowLoopback bool
	// Roots are the authorities that vouch for public certificate authorities; the
	// system's where nil (tests).
	Roots *x509.CertPool
	// Small takes memory and disk of a test's size instead of a box's.
	Small bool
	// BuildTime is a time that no right clock is before; zero: unknown.
	BuildTime time.Time
	Version   string
	Log       *slog.Logger
	// Restart is called when the process has to start anew.
	Restart func()

	goodbye time.Duration // in place of the usual where not zero (tests)
}

// reserve keeps room on a full disk for the store to open.
const reserve = 256 << 20

// port of a service.
type port struct {
	name   string
	number int
	tls    bool // from the first byte on
}

// ports of the mail service.
func ports() []port {
	return []port{
		{"smtp", 25, false}, {"submission", 587, false}, {"submissions", 465, true},
		{"imap", 143, false}, {"imaps", 993, true}, {"pop3", 110, false}, {"pop3s", 995, true},
	}
}

// challenges is the port that a public certificate authority asks at (RFC 8555
// section 8.3). It is open only while one does.
var challenges = port{"http", 80, false}

func (c *Config) address(p port) string {
	n := p.number + c.PortOffset
	if c.AnyPort {
		n = 0
	}
	return net.JoinHostPort(c.Listen, strconv.Itoa(n))
}

func (c *Config) storeDir() string { return filepath.Join(c.Data, "store") }

func (c *Config) keyFile() string { return filepath.Join(c.State, "store.key") }
