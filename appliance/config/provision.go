package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxProvision bounds a provisioning file: ten thousand people fit.
const maxProvision = 4 << 20

// Provision is the content of a provisioning file, checked and with its values
// in normal form.
type Provision struct {
	Box     Box            `toml:"box"`
	Network NetworkAndTime `toml:"network"`
	Mail    *Mail          `toml:"mail"` // nil where the file has no [mail]
	// Certificate is nil where the file has no [certificate].
	Certificate *Certificate `toml:"certificate"`
	Domains     []Domain     `toml:"domain"`
	Users       []User       `toml:"user"`
	Groups      []Group      `toml:"group"`
}

// Box is the machine: its name, clock and administrator.
type Box struct {
	Hostname string `toml:"hostname"`
	Timezone string `toml:"timezone"`
	Language string `toml:"language"` // of the console, one of Languages
	Keyboard string `toml:"keyboard"` // at the screen, one of Keyboards
	// Administration are the networks that may reach the pages the box is
	// managed by; empty: those there are, private ones on a fresh box.
	Administration []string `toml:"administration"`
	// DataDisk names the disk that mail is to be kept on, by its serial number, its
	// name under /dev, or its model; empty: the system disk, or as it is. What is
	// on it is overwritten. DataDiskLine is where the file says so.
	DataDisk          string `toml:"data_disk"`
	DataDiskLine      int    `toml:"-"`
	AdminPassword     string `toml:"admin_password"`
	AdminPasswordHash string `toml:"admin_password_hash"`
}

// NetworkAndTime is the network with the time servers, which are another thing
// in the settings of the box.
type NetworkAndTime struct {
	Network
	NTP []string `toml:"ntp"` // names or addresses of time servers
}

// Mail is the settings of the mail server.
type Mail struct {
	SmartHost         string `toml:"smart_host"` // "host:port", "" to deliver by MX
	SmartHostUser     string `toml:"smart_host_user"`
	SmartHostPassword string `toml:"smart_host_password"`
	// SmartHostAnyCertificate sends the password to a server that cannot prove
	// its name, as one in the own house.
	SmartHostAnyCertificate bool `toml:"smart_host_any_certificate"`
	AllowPlaintextLogin     bool `toml:"allow_plaintext_login"`
	MaxMessageSize          Size `toml:"max_message_size"` // octets, 0: as it is
	UndeleteDays            *int `toml:"undelete_days"`    // nil: as it is
	// EncryptStore has the mail store made with a key of the box's own. It
	// says nothing where there is a store.
	EncryptStore bool `toml:"encrypt_store"`
}

// Certificate says where the certificate of the mail servers comes from.
type Certificate struct {
	Mode string `toml:"mode"` // one of CertificateModes
	// Email and Directory are for mode "acme" alone: where the authority may write
	// to, and the https URL it is asked at; empty: nowhere, and Let's Encrypt.
	Email     string `toml:"email"`
	Directory string `toml:"directory"`
}

// Domain is a hosted domain.
type Domain struct {
	Name string `toml:"name"`
}

// User is a person with a mailbox.
type User struct {
	Address      string   `toml:"address"`
	Name         string   `toml:"name"`
	Password     string   `toml:"password"`
	PasswordHash string   `toml:"password_hash"`
	Quota        Size     `toml:"quota"` // octets, 0: no limit
	Admin        bool     `toml:"admin"`
	Aliases      []string `toml:"aliases"`
}

// Group is an address that stands for several.
type Group struct {
	Address string   `toml:"address"`
	Members []string `toml:"members"`
}

// AdminLogin is the administrator's login name on the console and the web. It
// has no domain, so that no mailbox can have it.
const AdminLogin = "admin"

// Problem is one thing that is wrong with a provisioning file.
type Problem struct {
	Line    int    // counted from 1; 0 where it belongs to no line
	Field   string // as user[2].address, counted from 1; "" for bad syntax
	Message string
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteByte(' ')
	}
	b.WriteString(p.Message)
	return b.String()
}

// ProvisionError is the error of a provisioning file that is refused. It has
// at least one problem, in the order of the lines.
type ProvisionError struct {
	Problems []Problem
}

func (e *ProvisionError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// LoadProvision reads and checks the file at path. Its error is a
// *ProvisionError where the content is not right.
func LoadProvision(path string) (*Provision, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("provisioning file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProvision+1))
	if err != nil {
		return nil, fmt.Errorf("provisioning file: %w", err)
	}
	p, err := ParseProvision(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// ParseProvision reads and checks the content of a provisioning file. Its
// error is a *ProvisionError. A byte order mark at the start, which editors of
// other systems leave, is read over.
func ParseProvision(data []byte) (*Provision, error) {
	if len(data) > maxProvision {
		return nil, &ProvisionError{[]Problem{{Message: fmt.Sprintf("the file is larger than %v", Size(maxProvision))}}}
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	p := new(Provision)
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(p); err != nil {
		return nil, decodeProblems(err)
	}
	if problems := p.check(newLines(data)); len(problems) > 0 {
		return nil, &ProvisionError{problems}
	}
	return p, nil
}

// decodeProblems says in our words what the TOML decoder found.
func decodeProblems(err error) error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) {
		e := new(ProvisionError)
		for _, m := range missing.Errors {
			line, _ := m.Position()
			e.Problems = append(e.Problems, Problem{line, strings.Join(m.Key(), "."), "is not a setting of this file"})
		}
		return e
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, _ := decode.Position()
		text := strings.TrimPrefix(decode.Error(), "toml: ")
		return &ProvisionError{[]Problem{{line, strings.Join(decode.Key(), "."), text}}}
	}
	return &ProvisionError{[]Problem{{Message: strings.TrimPrefix(err.Error(), "toml: ")}}}
}
