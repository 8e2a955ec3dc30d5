// Package healthapi is the API of healthd, which watches the machine: what it
// measures, what it concludes, and what somebody should do about it. It is
// served on Socket, which root alone may use.
//
//	GET  /v1/status                     Status
//	GET  /v1/history?id=ID&span=hour    []Point; spans are hour, day, month, year
//	GET  /v1/settings                   Settings
//	PUT  /v1/settings                   Settings in and out; checked and kept, or refused whole
//	POST /v1/known                      Known; 404 where there is no such state
//	POST /v1/test                       []Told; tells by each way that is set
//	GET  /v1/metrics                    text in Prometheus' exposition format 0.0.4
//
// The package holds types, the glue of the server and the client; healthd decides.
package healthapi

import (
	"context"
	"time"
)

// Socket is where healthd listens on the box.
const Socket = "/run/healthd.sock"

// MetricsPort is where /metrics is served as well, in plain HTTP and to those
// alone who may manage the box, where the settings say so.
const MetricsPort = 9100

// CrashFolder is where healthd keeps what kernels that died left behind, below
// the state volume.
const CrashFolder = "health/crash"

// Service is what healthd offers; Client is the same over the socket.
type Service interface {
	Status(ctx context.Context) (*Status, error)
	// History gives the kept values of one reading, the oldest first.
	History(ctx context.Context, id, span string) ([]Point, error)
	Settings(ctx context.Context) (*Settings, error)
	// SetSettings checks, keeps and applies all of s. Its error is a
	// *wire.Error of code invalid that names the field when s is refused.
	SetSettings(ctx context.Context, s Settings) (*Settings, error)
	// SetKnown says that somebody knows of a state and lives with it, or not. It
	// is shown as before, but nothing is to be looked at for it until it gets
	// worse.
	SetKnown(ctx context.Context, k Known) error
	// Test sends a test by each way of telling that is set.
	Test(ctx context.Context) ([]Told, error)
}

// Known is about a state of ID.
type Known struct {
	ID    string `json:"id"`
	Known bool   `json:"known"`
}

// Told is what came of telling by one way: mail, webhook, or relay, which is
// the mail elsewhere.
type Told struct {
	Way   string `json:"way"`
	Error string `json:"error,omitempty"` // empty: it was taken
}

// Settings are what the owner decides about the monitor. The zero value tells
// the postmaster by mail, and nobody else.
type Settings struct {
	Webhook string `json:"webhook,omitempty"` // URL that changes are posted to; empty: none
	NoMail  bool   `json:"no_mail,omitempty"` // no mail to the postmaster
	// MailTo is an address elsewhere that is sent mail too, by SmartHost, a
	// HOST:PORT, and not by the box's own mail, which may be what is broken.
	MailTo        string `json:"mail_to,omitempty"`
	SmartHost     string `json:"smart_host,omitempty"`
	SmartHostUser string `json:"smart_host_user,omitempty"`
	// SmartHostPassword is never told. Empty leaves the one that is kept as long
	// as smart host and user are the same.
	SmartHostPassword    string `json:"smart_host_password,omitempty"`
	SmartHostPasswordSet bool   `json:"smart_host_password_set,omitempty"`

	Weekly  bool   `json:"weekly,omitempty"`  // a mail each Monday though all is well
	Light   bool   `json:"light,omitempty"`   // the server's identify light burns while something is bad
	Speaker bool   `json:"speaker,omitempty"` // the PC speaker sounds when something becomes bad
	Metrics bool   `json:"metrics,omitempty"` // served on MetricsPort
	UPS     string `json:"ups,omitempty"`     // NAME@HOST of a NUT server; empty: none
	// Syslog is where the logs of all services go: tls://, tcp:// or udp://
	// HOST:PORT; empty: nowhere. SyslogFingerprint, in hexadecimal digits, is
	// the SHA-256 of a TLS server's certificate that no authority vouches for.
	Syslog            string `json:"syslog,omitempty"`
	SyslogFingerprint string `json:"syslog_fingerprint,omitempty"`
}

// Level says how much a state matters.
type Level int

// The levels, in order.
const (
	OK    Level = iota
	Watch       // somebody should look within days
	Bad         // somebody should look now
)

// String is the level as it stands in JSON.
func (l Level) String() string { return [...]string{"ok", "watch", "bad"}[min(max(l, OK), Bad)] }

// MarshalText makes the level a word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the word; an unknown one counts as Bad.
func (l *Level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "ok":
		*l = OK
	case "watch":
		*l = Watch
	default:
		*l = Bad
	}
	return nil
}

// Status is everything healthd knows now.
type Status struct {
	Time     time.Time `json:"time"`
	Level    Level     `json:"level"`  // the worst of States that are not known
	States   []State   `json:"states"` // what is not well, the worst first, known ones last
	Readings []Reading `json:"readings"`
	Watchdog Watchdog  `json:"watchdog"`
}

// State is one thing about the machine and how it is, in sentences.
type State struct {
	ID    string    `json:"id"` // such as drive/S3Z9NB0K/wear; the same after a restart
	Level Level     `json:"level"`
	What  string    `json:"what"`            // what is the matter
	Means string    `json:"means,omitempty"` // what it means
	Do    string    `json:"do,omitempty"`    // what to do
	Since time.Time `json:"since"`
	Known bool      `json:"known,omitempty"` // somebody has said so
}

// Kinds of Reading.
const (
	Temperature = "temperature" // degrees Celsius
	Fan         = "fan"         // revolutions a minute
	Voltage     = "voltage"     // volts
	Current     = "current"     // amperes
	Power       = "power"       // watts
	Percent     = "percent"
	Count       = "count"
	Octets      = "octets"
	Seconds     = "seconds"
	Load        = "load"
	Days        = "days"
)

// Reading is one measured value.
type Reading struct {
	ID    string  `json:"id"`
	Kind  string  `json:"kind"`
	Name  string  `json:"name"` // for people
	Value float64 `json:"value"`
	// Limits of the hardware or of the board; nil where there is none. A
	// value at or beyond Watch is to be looked at, beyond Bad at once.
	WatchLow  *float64 `json:"watch_low,omitempty"`
	WatchHigh *float64 `json:"watch_high,omitempty"`
	BadLow    *float64 `json:"bad_low,omitempty"`
	BadHigh   *float64 `json:"bad_high,omitempty"`
}

// Spans of History.
const (
	SpanHour  = "hour"  // a point a minute
	SpanDay   = "day"   // a point a minute
	SpanMonth = "month" // a point an hour
	SpanYear  = "year"  // a point a day
)

// Point is a value of the past: the mean, least and greatest of its time.
type Point struct {
	Time time.Time `json:"time"`
	Mean float64   `json:"mean"`
	Min  float64   `json:"min"`
	Max  float64   `json:"max"`
}

// Watchdog is the timer that restarts a box which hangs.
type Watchdog struct {
	Device   string    `json:"device,omitempty"`   // empty: there is none
	Identity string    `json:"identity,omitempty"` // of the timer, such as i6300ESB
	Timeout  float64   `json:"timeout,omitempty"`  // seconds
	Fed      time.Time `json:"fed,omitzero"`
	// Held says why it is not fed, while it is not.
	Held string `json:"held,omitempty"`
	// LastReset says that the timer caused the last start, and why it ran out.
	LastReset string `json:"last_reset,omitempty"`
}
