package console

import (
	"context"
	"time"

	"pillarbox/appliance/api/boxapi"
)

// Backend is the box as the console sees it. Every call is bounded by its
// context; the console never waits for one while drawing.
type Backend interface {
	// State tells how the box is. What could not be asked is in
	// State.Silent; the error is for a failure of the whole.
	State(ctx context.Context) (State, error)
	// TimeZones lists the names a time zone may have.
	TimeZones(ctx context.Context) ([]string, error)
	// SetUp applies the first-boot answers, all or none, and may be called
	// again after a failure. A refused answer comes as a *FieldError. It calls at
	// with each step that it begins, in their order; at does not block.
	SetUp(ctx context.Context, a Answers, at func(SetUpStep)) error
	// TestNetwork makes one of boxapi.NetworkTests.
	TestNetwork(ctx context.Context, test string) (*boxapi.NetworkTest, error)
	// Speak keeps a language and Type a keyboard for the box's consoles.
	Speak(ctx context.Context, language string) error
	Type(ctx context.Context, keyboard string) error
	// PowerOff and Restart end in an orderly shutdown.
	PowerOff(ctx context.Context) error
	Restart(ctx context.Context) error
}

// SetUpStep is a part of the set-up.
type SetUpStep int

// The steps, in order.
const (
	StepMachine SetUpStep = iota // name, time zone, language
	StepDisk                     // the disk for mail, where there was one to choose
	StepSending                  // how mail leaves
	StepMail                     // domain, passwords, first mailbox, certificate
	setUpSteps
)

// State is how the box is at one moment.
type State struct {
	Version   string
	Hostname  string
	Language  string // of the console, as it was chosen; empty: not yet
	Keyboard  string // at the screen, likewise
	SetUp     bool   // the first-boot questions have been answered
	Serving   bool   // mail is served
	Started   time.Time
	Links     []Link
	Services  []Service
	Mail      MailFigures
	Disk      Disk
	Disks     []boxapi.Disk // of the machine
	Clock     Clock
	Events    []Event  // newest first
	Problems  []string // sentences, the worst first
	Silent    []string // daemons that did not answer
	AskAgain  bool     // State is not complete yet: the daemons are starting
	MailError string   // why mail is not served, where it is known
}

// Link is a network interface.
type Link struct {
	Name      string
	Up        bool
	Addresses []string // with prefix length
	Gateway   string
	DNS       []string
}

// Service is a process of the box.
type Service struct {
	Name     string
	State    string // running, backoff, stopped, failed
	Restarts int
}

// MailFigures count what maild holds.
type MailFigures struct {
	Domains, Mailboxes, Messages, Queued int64
}

// Disk is the disk that holds the mail, bytes.
type Disk struct {
	Total, Free int64
	Trouble     string
	Name        string // of the disk it is on; empty: not known
	Others      int    // disks of the machine that are left alone
}

// Clock is the box's time.
type Clock struct {
	Synced bool
	Zone   string
}

// Event is a line of the box's journal for people.
type Event struct {
	Time  time.Time
	Level string // info, warning, error
	Text  string
}

// Answers are the first-boot questions' answers.
type Answers struct {
	Language      string // a code of Languages
	Keyboard      string // a code of Keyboards
	Hostname      string
	Domain        string
	AdminPassword string
	Mailbox       string // address of the first mailbox
	MailboxName   string // the person's name
	Password      string // of the first mailbox
	TimeZone      string
	SmartHost     string // host:port; empty: mail leaves by each domain's own servers
	// SmartHostUser and SmartHostPassword may be empty.
	SmartHostUser, SmartHostPassword string
	// PublicCertificate is one by Let's Encrypt, which may write to CertificateEmail
	// where that is not empty; otherwise it is by the box's own authority.
	PublicCertificate bool
	CertificateEmail  string
	// Disk is where mail is to be kept; without a name as it is.
	Disk boxapi.UseDiskRequest
}

// FieldError is an answer the box refused.
type FieldError struct {
	Field   string // hostname, domain, admin_password, mailbox, mailbox_password, timezone, smart_host, certificate_email, disk
	Message string
}

func (e *FieldError) Error() string { return e.Message }
