// Package boxapi is the API of boxd, the manager of the machine: its name,
// time zone, network, disks, clock and power. It is served on Socket, which
// root alone may use.
//
//	GET  /v1/status     Status
//	GET  /v1/settings   Settings
//	PUT  /v1/settings   Settings in and out; checked, applied and kept, or refused whole
//	POST /v1/network/try   Network; in force until it is kept, else for two minutes
//	POST /v1/network/keep  keeps the network that is being tried
//	POST /v1/network/test  TestRequest in, NetworkTest out, within seconds
//	POST /v1/mail-disk  UseDiskRequest; answered when mail is kept there, in minutes
//	GET  /v1/firewall   Firewall
//	GET  /v1/timezones  []string
//	POST /v1/support        SupportRequest; the support bundle, a .tar.zst
//	POST /v1/support/stick  SupportRequest; StickFile, the bundle on a USB stick
//	POST /v1/stick/backup   StickFile; a full backup of all mail on a USB stick
//	GET  /v1/stick/backups  []StickFile, newest first
//	POST /v1/stick/restore  RestoreRequest; replaces all mail by that of a backup
//	POST /v1/stick/certificate  takes the mail servers' certificate from a USB stick
//	POST /v1/factory-reset  ResetRequest; restarts the box and removes everything
//	POST /v1/poweroff, /v1/reboot   body: StopRequest, answered before it begins
//
// The package holds types, the glue of the server and the client; boxd decides.
package boxapi

import (
	"context"
	"io"
	"time"

	"pillarbox/appliance/config"
)

// Socket is where boxd listens on the box.
const Socket = "/run/boxd.sock"

// Service is what boxd offers; Client is the same over the socket.
type Service interface {
	Status(ctx context.Context) (*Status, error)
	Settings(ctx context.Context) (*Settings, error)
	// SetSettings checks, applies and keeps all of s. Its error is a
	// *wire.Error of code invalid that names the field when s is refused.
	SetSettings(ctx context.Context, s Settings) (*Settings, error)
	// TryNetwork checks n and puts it in force without keeping it: unless
	// KeepNetwork follows within two minutes, or after a restart, the network is
	// as it was. Who changes it over the network itself is not locked out.
	TryNetwork(ctx context.Context, n Network) error
	// KeepNetwork is a conflict where nothing is being tried any more.
	KeepNetwork(ctx context.Context) error
	// TestNetwork tries one of NetworkTests. A test that fails is an answer; the
	// error is for one that could not be made.
	TestNetwork(ctx context.Context, r TestRequest) (*NetworkTest, error)
	// UseDisk has mail kept on another disk of the machine, of which everything is
	// overwritten, or on the system disk again. A disk that cannot be used is
	// refused (invalid, field disk). It is a conflict once the box is set up: mail
	// stays where it is then.
	UseDisk(ctx context.Context, r UseDiskRequest) error
	// Firewall tells who was limited.
	Firewall(ctx context.Context) (*Firewall, error)
	// Timezones lists the names that Settings.Timezone may have.
	Timezones(ctx context.Context) ([]string, error)
	// SupportBundle writes logs, health and settings without secrets as a
	// .tar.zst, for whoever looks for a fault.
	SupportBundle(ctx context.Context, r SupportRequest, w io.Writer) error
	// SupportToStick writes the bundle to the first USB stick with a FAT file
	// system; not found where there is none.
	SupportToStick(ctx context.Context, r SupportRequest) (*StickFile, error)
	// BackupToStick writes a full backup, not encrypted, to a USB stick while
	// mail goes on. It takes as long as the stick needs.
	BackupToStick(ctx context.Context) (*StickFile, error)
	StickBackups(ctx context.Context) ([]StickFile, error)
	// RestoreFromStick replaces all mail and all mailboxes by those of a
	// backup; it is refused (invalid, field hostname) unless r names this box.
	RestoreFromStick(ctx context.Context, r RestoreRequest) error
	// CertificateFromStick has maild import the certificate and key that are on a
	// stick, and show it; not found where there are none, and what maild says where
	// it refuses them.
	CertificateFromStick(ctx context.Context) error
	// FactoryReset removes all settings and all mail at the restart that it asks
	// for. It is refused (invalid, field hostname) unless r names this box.
	FactoryReset(ctx context.Context, r ResetRequest) error
	// PowerOff and Reboot return when the request is accepted.
	PowerOff(ctx context.Context, req StopRequest) error
	Reboot(ctx context.Context, req StopRequest) error
}

// Status is the state of the machine.
type Status struct {
	Version     string      `json:"version"`
	Hostname    string      `json:"hostname"`
	Timezone    string      `json:"timezone"`
	Language    string      `json:"language,omitempty"`
	Keyboard    string      `json:"keyboard,omitempty"`
	Kernel      string      `json:"kernel"`       // release, such as 6.1.0-56-amd64
	Uptime      float64     `json:"uptime"`       // seconds
	BootSeconds float64     `json:"boot_seconds"` // kernel start to mail served; 0 until then
	Board       string      `json:"board"`        // the image's board, such as generic-x86_64
	Machine     string      `json:"machine"`      // vendor and product as the firmware says
	Interfaces  []Interface `json:"interfaces"`
	Disks       []Disk      `json:"disks"`
	Data        Volume      `json:"data"`
	Clock       Clock       `json:"clock"`
	Provision   Provision   `json:"provision"`
	// MissingFirmware are the files that drivers asked for and did not get.
	MissingFirmware []string `json:"missing_firmware,omitempty"`
	// Problems are sentences about what is wrong now.
	Problems []string `json:"problems,omitempty"`
}

// Interface is a network interface with a wire or a radio; lo is left out.
type Interface struct {
	Name      string    `json:"name"`
	MAC       string    `json:"mac"`
	Driver    string    `json:"driver,omitempty"`
	Link      bool      `json:"link"`            // a carrier is there
	Speed     int       `json:"speed,omitempty"` // Mbit/s where known
	Mode      string    `json:"mode"`            // ModeDHCP, ModeStatic, or empty: not configured
	Addresses []string  `json:"addresses"`       // with prefix length, such as 192.0.2.5/24
	Gateway   string    `json:"gateway,omitempty"`
	DNS       []string  `json:"dns,omitempty"`
	Lease     *Lease    `json:"lease,omitempty"` // by DHCP
	Since     time.Time `json:"since,omitzero"`  // of the present addresses
	MTU       int       `json:"mtu,omitempty"`   // octets of a packet
	Bond      string    `json:"bond,omitempty"`  // of a bond: its mode
	VLAN      int       `json:"vlan,omitempty"`  // of a VLAN: its id
	Parts     []string  `json:"parts,omitempty"` // of a bond: its cards; of a VLAN: what it is on
}

// Lease is what the DHCP server granted.
type Lease struct {
	Server  string    `json:"server"`
	Expires time.Time `json:"expires"`
}

// Roles of a Disk.
const (
	RoleSystem = "system" // holds the partitions of the running box
	RoleMail   = "mail"   // is another one, that mail is kept on
	RoleOther  = "other"
)

// What is on a Disk.
const (
	HoldsNothing    = ""           // its beginning was never written
	HoldsPartitions = "partitions" // see Disk.FileSystems
	HoldsFileSystem = "filesystem" // as a whole
	HoldsPillarbox  = "pillarbox"  // another system of ours
	HoldsMail       = "mail"       // a mail volume, and no system
	HoldsUnknown    = "unknown"
)

// Why mail cannot be kept on a Disk.
const (
	UnfitSmall      = "small" // for any mail store
	UnfitReadOnly   = "read-only"
	UnfitUnreadable = "unreadable"
	UnfitRemovable  = "removable" // made to be pulled out
)

// Disk is a whole disk.
type Disk struct {
	Name      string `json:"name"` // as under /dev, such as nvme0n1
	Model     string `json:"model,omitempty"`
	Serial    string `json:"serial,omitempty"`
	Size      int64  `json:"size"` // octets
	Removable bool   `json:"removable,omitempty"`
	Role      string `json:"role"`
	Bus       string `json:"bus,omitempty"` // such as USB, SATA, NVMe
	Holds     string `json:"holds,omitempty"`
	// Partitions counts them; FileSystems are the kinds that are known, each once.
	Partitions  int      `json:"partitions,omitempty"`
	FileSystems []string `json:"file_systems,omitempty"`
	Unfit       string   `json:"unfit,omitempty"` // why mail cannot be kept on it; empty: it can
}

// UseDiskRequest names a disk as Status had it: the serial number and the size make
// sure that it is still the same.
type UseDiskRequest struct {
	Name   string `json:"name"`
	Serial string `json:"serial,omitempty"`
	Size   int64  `json:"size"`
}

// Volume is the file system that mail is kept on.
type Volume struct {
	Mounted bool  `json:"mounted"`
	Size    int64 `json:"size"`  // octets
	Free    int64 `json:"free"`  // octets, for the mail store
	Grown   int64 `json:"grown"` // octets gained at this boot
}

// Clock is how the box knows the time.
type Clock struct {
	Synced bool      `json:"synced"`
	Source string    `json:"source,omitempty"` // the server that answered last
	Time   time.Time `json:"time"`
	Offset float64   `json:"offset"` // seconds the clock was behind at the last answer
	LastOK time.Time `json:"last_ok,omitzero"`
	Proven bool      `json:"proven,omitempty"` // the answer was authenticated by NTS
	// Stepped is by how many seconds the clock was set when the first answer
	// came; 0: it was right enough.
	Stepped float64 `json:"stepped,omitempty"`
}

// States of a Provision.
const (
	ProvisionNone    = "none"    // no file was found
	ProvisionPending = "pending" // read; the mail part is not applied yet
	ProvisionApplied = "applied"
	ProvisionInvalid = "invalid" // refused; Error says why
)

// Provision is what became of a provisioning file.
type Provision struct {
	State  string `json:"state"`
	Source string `json:"source,omitempty"` // where the file was found
	Error  string `json:"error,omitempty"`
}

// Network modes.
const (
	ModeDHCP   = config.ModeDHCP
	ModeStatic = config.ModeStatic
	ModeNone   = config.ModeNone
)

// Modes of a bond.
const (
	BondActiveBackup = config.BondActiveBackup
	BondLACP         = config.BondLACP
)

// Settings are what a person decides about the machine. An empty Hostname or
// Timezone in PUT means the default (pillarbox, UTC).
type Settings struct {
	Hostname string   `json:"hostname"`           // fully qualified where mail needs it, such as mail.example.org
	Timezone string   `json:"timezone"`           // of the time zone database, such as Europe/Berlin
	Language string   `json:"language,omitempty"` // of the console, as config.Languages; empty: not chosen
	Keyboard string   `json:"keyboard,omitempty"` // at the screen, as config.Keyboards; empty: us
	Network  Network  `json:"network"`
	NTP      []string `json:"ntp,omitempty"` // servers; empty: those of the lease, else the default pool
	// Administration are the networks that may reach the ports the box is
	// managed by; empty: private ones.
	Administration []string `json:"administration,omitempty"`
}

// Network and NetworkInterface are the settings as the provisioning file has them.
type (
	Network          = config.Network
	NetworkInterface = config.Interface
)

// Firewall is what the firewall does.
type Firewall struct {
	// Administration are the networks that may reach the ports the box is
	// managed by.
	Administration []string `json:"administration"`
	// Limited are the sources that opened connections faster, or held more of
	// them, than allowed within the last hour, the latest first.
	Limited []Limited `json:"limited"`
}

// Limited is a source that was limited.
type Limited struct {
	Source  string    `json:"source"`  // such as 192.0.2.5/32; IPv6: 64 bits
	Dropped uint64    `json:"dropped"` // attempts to connect
	Last    time.Time `json:"last"`
}

// Tests of the network. Each needs those before it, but for the last two, which
// need the first four.
const (
	TestLink    = "link"
	TestAddress = "address"
	TestGateway = "gateway"
	TestDNS     = "dns"
	TestTime    = "time"
	TestPort25  = "port25" // to mail servers elsewhere
)

// NetworkTests lists the tests in the order to make them in.
func NetworkTests() []string {
	return []string{TestLink, TestAddress, TestGateway, TestDNS, TestTime, TestPort25}
}

// TestRequest names a test.
type TestRequest struct {
	Test string `json:"test"`
}

// NetworkTest is the result of a test.
type NetworkTest struct {
	Test   string `json:"test"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was found, or the error
}

// SupportRequest says what a support bundle is about.
type SupportRequest struct {
	// Message is the ID or Message-ID of a message, or an address, whose trace
	// is to be in it; empty: none.
	Message string `json:"message,omitempty"`
}

// StickFile is a file that was written to a USB stick.
type StickFile struct {
	Stick   string    `json:"stick"` // as under /dev, such as sdb
	Name    string    `json:"name"`
	Size    int64     `json:"size"` // octets
	Written time.Time `json:"written,omitzero"`
}

// The files of CertificateFromStick. The key may be in the first.
const (
	StickCertificate = "certificate.pem"
	StickKey         = "key.pem"
)

// RestoreRequest names a backup, and the box whose mail it is to replace.
type RestoreRequest struct {
	Hostname string    `json:"hostname"`
	File     StickFile `json:"file"`
}

// ResetRequest says which box is to be emptied: nobody names another by mistake.
type ResetRequest struct {
	Hostname string `json:"hostname"`
}

// StopRequest says who wants the box stopped, for the log.
type StopRequest struct {
	Reason string `json:"reason,omitempty"`
}
