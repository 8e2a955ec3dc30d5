// Package mailapi is the administration API of maild: people, domains, the
// queue, settings and the state of the mail service. It is served on Socket,
// which root and maild's own user may use.
//
//	GET    /v1/status                        Status
//	POST   /v1/setup                         Setup; once, conflict after that
//	GET    /v1/domains                       []Domain
//	POST   /v1/domains                       Domain
//	PATCH  /v1/domains/{name}                DomainChange in, Domain out
//	DELETE /v1/domains/{name}
//	GET    /v1/users                         []User
//	POST   /v1/users                         NewUser in, User out
//	GET    /v1/users/{address}               User
//	PATCH  /v1/users/{address}               UserChange in, User out
//	DELETE /v1/users/{address}               with all the person's mail
//	POST   /v1/users/{address}/password      Password
//	GET    /v1/users/{address}/app-passwords         []AppPassword
//	POST   /v1/users/{address}/app-passwords         NewAppPassword in, AppPassword out
//	DELETE /v1/users/{address}/app-passwords/{name}
//	GET    /v1/aliases                       []Alias
//	POST   /v1/aliases                       Alias
//	PATCH  /v1/aliases/{address}             AliasChange in, Alias out
//	DELETE /v1/aliases/{address}
//	GET    /v1/groups                        []Group
//	POST   /v1/groups                        Group
//	PATCH  /v1/groups/{address}              GroupChange in, Group out
//	DELETE /v1/groups/{address}
//	GET    /v1/queue                         []QueueEntry
//	POST   /v1/queue/{id}/retry
//	DELETE /v1/queue/{id}                    without a bounce
//	GET    /v1/settings                      Settings
//	PATCH  /v1/settings                      SettingsChange in, Settings out
//	POST   /v1/admin/verify                  AdminLogin; denied where the password is wrong
//	POST   /v1/admin/password                AdminPassword
//	GET    /v1/certificate                   Certificate
//	POST   /v1/certificate                   CertificateChoice in, Certificate out
//	GET    /v1/events?limit=N                []Event, newest first
//	GET    /v1/trace?about=TEXT              []TracedMessage, newest first
//	POST   /v1/probe                         ProbeResult, within little more than a minute
//	POST   /v1/check                         CheckRequest in, lines of CheckLine out as the check goes on
//
// Errors have the codes of package wire. Sizes are octets, times RFC 3339.
//
// The package holds types, the glue of the server and the client; maild decides.
package mailapi

import (
	"context"
	"time"

	"pillarbox/appliance/api/wire"
)

// Socket is where maild listens on the box.
const Socket = "/run/maild.sock"

// Service is what maild offers; Client is the same over the socket. Errors
// that a caller can do something about are *wire.Error: invalid with the
// field, not found, conflict, denied, unavailable.
type Service interface {
	Status(ctx context.Context) (*Status, error)
	// Setup gives a fresh box its name, domain, administrator and first
	// mailbox. It is applied whole or refused whole.
	Setup(ctx context.Context, s Setup) error

	Domains(ctx context.Context) ([]Domain, error)
	AddDomain(ctx context.Context, d Domain) (*Domain, error)
	// ChangeDomain renames a domain with every address in it.
	ChangeDomain(ctx context.Context, name string, c DomainChange) (*Domain, error)
	// RemoveDomain is refused while addresses of the domain exist.
	RemoveDomain(ctx context.Context, name string) error

	Users(ctx context.Context) ([]User, error)
	User(ctx context.Context, address string) (*User, error)
	AddUser(ctx context.Context, u NewUser) (*User, error)
	ChangeUser(ctx context.Context, address string, c UserChange) (*User, error)
	// RemoveUser removes a person with all mail and all aliases.
	RemoveUser(ctx context.Context, address string) error
	// SetPassword ends the person's sessions that were opened with the old one.
	SetPassword(ctx context.Context, address string, p Password) error

	AppPasswords(ctx context.Context, address string) ([]AppPassword, error)
	// AddAppPassword makes one more password for IMAP, POP3 and submission,
	// which nobody sees again.
	AddAppPassword(ctx context.Context, address string, a NewAppPassword) (*AppPassword, error)
	// RemoveAppPassword ends the person's sessions.
	RemoveAppPassword(ctx context.Context, address, name string) error

	Aliases(ctx context.Context) ([]Alias, error)
	AddAlias(ctx context.Context, a Alias) (*Alias, error)
	ChangeAlias(ctx context.Context, address string, c AliasChange) (*Alias, error)
	RemoveAlias(ctx context.Context, address string) error

	Groups(ctx context.Context) ([]Group, error)
	AddGroup(ctx context.Context, g Group) (*Group, error)
	ChangeGroup(ctx context.Context, address string, c GroupChange) (*Group, error)
	RemoveGroup(ctx context.Context, address string) error

	Queue(ctx context.Context) ([]QueueEntry, error)
	// RetryQueued tries an entry now; DeleteQueued drops it without a bounce.
	RetryQueued(ctx context.Context, id uint64) error
	DeleteQueued(ctx context.Context, id uint64) error

	Settings(ctx context.Context) (*Settings, error)
	ChangeSettings(ctx context.Context, c SettingsChange) (*Settings, error)

	// VerifyAdmin checks the administrator's password; denied where it is
	// wrong, unavailable after too many failures.
	VerifyAdmin(ctx context.Context, l AdminLogin) error
	SetAdminPassword(ctx context.Context, p AdminPassword) error

	Certificate(ctx context.Context) (*Certificate, error)
	// SetCertificate chooses where the certificate comes from, and imports one. A
	// public authority is asked at once, and this does not wait for it.
	SetCertificate(ctx context.Context, c CertificateChoice) (*Certificate, error)
	// Events gives the latest events, newest first, at most limit (0: 100).
	Events(ctx context.Context, limit int) ([]Event, error)
	// Trace tells what happened to a message, by its ID or Message-ID, or to the
	// latest hundred from or to an address. One that is not known is no error.
	Trace(ctx context.Context, about string) ([]TracedMessage, error)
	// Probe sends the box a test message, reads it back and removes it. That
	// the message failed is no error but stands in the result.
	Probe(ctx context.Context) (*ProbeResult, error)
	// Check verifies the store. progress, which may be nil, is called as it goes on.
	Check(ctx context.Context, r CheckRequest, progress func(Progress)) (*CheckReport, error)
}

// Status is the state of the mail service.
type Status struct {
	Version     string     `json:"version"`
	Serving     bool       `json:"serving"` // all listeners are open
	Started     time.Time  `json:"started"`
	Hostname    string     `json:"hostname"`
	SetupDone   bool       `json:"setup_done"`
	Domains     int        `json:"domains"`
	Users       int        `json:"users"`
	Messages    int64      `json:"messages"`
	StoredBytes int64      `json:"stored_bytes"`
	Queue       QueueState `json:"queue"`
	Disk        Disk       `json:"disk"`
	Listeners   []Listener `json:"listeners"`
	LastEvents  []Event    `json:"last_events"` // newest first
	// Problems are sentences about what is wrong now.
	Problems []string `json:"problems,omitempty"`
}

// ProbeResult is how a test message fared.
type ProbeResult struct {
	Seconds float64 `json:"seconds"` // from its making to its removal
	// Step is what failed, such as "read the message", and Failure why; both
	// are empty where all went well.
	Step    string `json:"step,omitempty"`
	Failure string `json:"failure,omitempty"`
	// Refused tells a service that answered and would not from one that hangs.
	Refused bool `json:"refused,omitempty"`
}

// QueueState sums up the outbound queue.
type QueueState struct {
	Count  int64     `json:"count"`
	Oldest time.Time `json:"oldest,omitzero"`
}

// The states of Disk.
const (
	DiskOK       = "ok"
	DiskFull     = "full"      // no mail is taken until there is room
	DiskReadOnly = "read_only" // nothing is written after a disk error
)

// Disk is the file system of the mail store.
type Disk struct {
	Total int64  `json:"total"`
	Free  int64  `json:"free"`
	State string `json:"state"`
}

// Listener is an open port.
type Listener struct {
	Name string `json:"name"` // smtp, submission, submissions, imap, imaps, pop3, pop3s, http, https
	Addr string `json:"addr"`
	Open int    `json:"open"` // connections now
}

// The levels of Event.
const (
	LevelInfo  = "info"
	LevelWarn  = "warn"
	LevelAlert = "alert" // somebody must look
)

// Event is something that happened and that a person may want to know.
type Event struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Text  string    `json:"text"`
}

// Setup is what a fresh box is told.
type Setup struct {
	Hostname string `json:"hostname"`
	Domain   string `json:"domain"`
	// AdminAddress receives mail for postmaster. It is the address of the
	// first user, or of a mailbox made with AdminPassword.
	AdminAddress  string     `json:"admin_address"`
	AdminPassword string     `json:"admin_password"` // of the login "admin" on console and web
	FirstUser     *FirstUser `json:"first_user,omitempty"`
	// Certificate is nil for the box's own authority; nothing can be imported here.
	Certificate *CertificateChoice `json:"certificate,omitempty"`
	Timezone    string             `json:"timezone,omitempty"`
}

// FirstUser is the first mailbox of a fresh box.
type FirstUser struct {
	Address  string `json:"address"`
	Name     string `json:"name,omitempty"`
	Password string `json:"password"`
}

// Domain is a hosted domain.
type Domain struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created,omitzero"`
	Users   int       `json:"users"` // only in answers
}

// DomainChange gives a domain another name.
type DomainChange struct {
	Name string `json:"name"`
	// Keep leaves the old name among the domains, its addresses as aliases of
	// the new ones.
	Keep bool `json:"keep,omitempty"`
}

// User is a person with a mailbox.
type User struct {
	Address  string `json:"address"`
	Name     string `json:"name,omitempty"`
	Admin    bool   `json:"admin"`    // receives postmaster mail
	Disabled bool   `json:"disabled"` // cannot log in; mail is still delivered
	Quota    int64  `json:"quota"`    // octets, 0: none
	Used     int64  `json:"used"`     // octets
	Messages int64  `json:"messages"`
	// MessageLimit is how many messages there may be, 0: no limit.
	MessageLimit int64     `json:"message_limit,omitempty"`
	Aliases      []string  `json:"aliases,omitempty"`
	Created      time.Time `json:"created,omitzero"`
}

// NewUser is a person to add.
type NewUser struct {
	Address      string `json:"address"`
	Name         string `json:"name,omitempty"`
	Password     string `json:"password,omitempty"`
	PasswordHash string `json:"password_hash,omitempty"` // argon2id, in place of Password
	Quota        int64  `json:"quota,omitempty"`
	Admin        bool   `json:"admin,omitempty"`
}

// UserChange changes what is not nil.
type UserChange struct {
	Name         *string `json:"name,omitempty"`
	Quota        *int64  `json:"quota,omitempty"`
	MessageLimit *int64  `json:"message_limit,omitempty"`
	Admin        *bool   `json:"admin,omitempty"`
	Disabled     *bool   `json:"disabled,omitempty"`
}

// Password is a new password.
type Password struct {
	Password string `json:"password"`
}

// AppPassword is a password of a person for one mail program or device.
type AppPassword struct {
	Name     string    `json:"name"`
	Created  time.Time `json:"created,omitzero"`
	Used     time.Time `json:"used,omitzero"`      // the last login, to the hour
	Password string    `json:"password,omitempty"` // only in the answer that made it
}

// NewAppPassword is an app password to make. Its name is one of a kind for the person.
type NewAppPassword struct {
	Name string `json:"name"`
}

// Alias is another address of one person, or of an address elsewhere.
type Alias struct {
	Address string    `json:"address"`
	Target  string    `json:"target"`
	Created time.Time `json:"created,omitzero"`
}

// AliasChange changes what is not nil.
type AliasChange struct {
	Target *string `json:"target,omitempty"`
}

// Group is an address that stands for several: people, other groups,
// addresses elsewhere.
type Group struct {
	Address string    `json:"address"`
	Members []string  `json:"members"`
	Created time.Time `json:"created,omitzero"`
}

// GroupChange changes what is not empty: Members replaces all; Add and Remove
// change some.
type GroupChange struct {
	Members []string `json:"members,omitempty"`
	Add     []string `json:"add,omitempty"`
	Remove  []string `json:"remove,omitempty"`
}

// QueueEntry is one recipient's copy on its way out.
type QueueEntry struct {
	ID        uint64    `json:"id"`
	Sender    string    `json:"sender"` // "" for bounces
	Recipient string    `json:"recipient"`
	Size      int64     `json:"size"`
	Created   time.Time `json:"created"`
	Due       time.Time `json:"due"`
	Attempts  int       `json:"attempts"`
	LastError string    `json:"last_error,omitempty"`
}

// Settings are what an administrator decides about the mail service.
type Settings struct {
	Hostname                string `json:"hostname"`
	Timezone                string `json:"timezone,omitempty"`
	SmartHost               string `json:"smart_host"` // host:port, "" to deliver by MX
	SmartHostUser           string `json:"smart_host_user"`
	SmartHostPasswordSet    bool   `json:"smart_host_password_set"` // the password itself is never told
	SmartHostAnyCertificate bool   `json:"smart_host_any_certificate"`
	AllowPlaintextLogin     bool   `json:"allow_plaintext_login"`
	MaxMessageSize          int64  `json:"max_message_size"`
	UndeleteDays            int    `json:"undelete_days"` // for so long deleted mail can be brought back, 0: not at all
}

// SettingsChange changes what is not nil. An empty SmartHost clears its login.
type SettingsChange struct {
	Hostname                *string `json:"hostname,omitempty"`
	Timezone                *string `json:"timezone,omitempty"`
	SmartHost               *string `json:"smart_host,omitempty"`
	SmartHostUser           *string `json:"smart_host_user,omitempty"`
	SmartHostPassword       *string `json:"smart_host_password,omitempty"`
	SmartHostAnyCertificate *bool   `json:"smart_host_any_certificate,omitempty"`
	AllowPlaintextLogin     *bool   `json:"allow_plaintext_login,omitempty"`
	MaxMessageSize          *int64  `json:"max_message_size,omitempty"`
	UndeleteDays            *int    `json:"undelete_days,omitempty"`
}

// AdminLogin is the administrator's password as somebody typed it.
type AdminLogin struct {
	Password string `json:"password"`
	Remote   string `json:"remote,omitempty"` // IP address it came from; "" on the console
}

// AdminPassword is the administrator's new password, with the old one where
// there is one and the caller wants it checked.
type AdminPassword struct {
	Old string `json:"old,omitempty"`
	New string `json:"new"`
}

// Certificate is what clients see, for people to compare and import.
type Certificate struct {
	Names     []string  `json:"names"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after"`
	SHA256    string    `json:"sha256"` // fingerprint, hexadecimal with colons
	Issuer    string    `json:"issuer"` // the name of who signed it
	// Source is where it comes from, and Mode what was chosen: the box's own
	// authority steps in while the chosen source has none.
	Source string `json:"source"`
	Mode   string `json:"mode"`
	// Email and Directory are of a public authority.
	Email     string `json:"email,omitempty"`
	Directory string `json:"directory,omitempty"`
	// Private tells that no authority that programs know vouches for it.
	Private bool `json:"private,omitempty"`
	// Problem is a sentence about what is wrong and matters.
	Problem string `json:"problem,omitempty"`
	// Failure is why a public authority gave none last time, NextTry when it is
	// asked again.
	Failure string    `json:"failure,omitempty"`
	NextTry time.Time `json:"next_try,omitzero"`
	// Authority is the box's own, which also vouches for names that a chosen
	// certificate does not cover.
	Authority    string `json:"authority,omitempty"`
	AuthorityPEM string `json:"authority_pem,omitempty"`
}

// The modes and sources of Certificate.
const (
	CertificateOwn      = "own"
	CertificateACME     = "acme" // a public authority
	CertificateImported = "imported"
)

// CertificateChoice is where the certificate is to come from.
type CertificateChoice struct {
	Mode string `json:"mode"`
	// Email and Directory are for a public authority; empty: it writes to nobody,
	// and is Let's Encrypt.
	Email     string `json:"email,omitempty"`
	Directory string `json:"directory,omitempty"`
	// CertificatePEM and KeyPEM are to be imported; empty: what was before. The key
	// may be in CertificatePEM.
	CertificatePEM string `json:"certificate_pem,omitempty"`
	KeyPEM         string `json:"key_pem,omitempty"`
}

// CheckRequest says how deep a check goes.
type CheckRequest struct {
	Bodies bool `json:"bodies,omitempty"` // read every body and compare its hash
	Repair bool `json:"repair,omitempty"`
}

// Progress is how far a check is, in records.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// CheckReport is what a check found.
type CheckReport struct {
	Accounts  int64     `json:"accounts"`
	Mailboxes int64     `json:"mailboxes"`
	Messages  int64     `json:"messages"`
	Blobs     int64     `json:"blobs"`
	Queued    int64     `json:"queued"`
	Problems  []Problem `json:"problems"`
	Unlisted  int64     `json:"unlisted,omitempty"` // problems beyond those
}

// Problem is one thing that is wrong with the store.
type Problem struct {
	Where    string `json:"where"`
	What     string `json:"what"`
	Repaired bool   `json:"repaired,omitempty"`
}

// CheckLine is one line of the answer to a check: progress any number of
// times, then the report or an error.
type CheckLine struct {
	Progress *Progress    `json:"progress,omitempty"`
	Report   *CheckReport `json:"report,omitempty"`
	Error    *wire.Error  `json:"error,omitempty"`
}
