package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/smtp"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/config/atomicfile"
)

const webhookTimeout = 10 * time.Second

// The ways of telling, by which what waits is kept.
const (
	byMail    = "mail"    // to the postmaster, by the box's own mail
	byWebhook = "webhook" // to a URL
	byRelay   = "relay"   // by mail elsewhere, past the box's own
)

// Messenger tells the owner about changes: by mail to the postmaster, by mail to
// an address elsewhere, and by webhook. What cannot be told by one of them now
// is told by it later, after a restart too, and does not keep the others from it
// nor make them tell twice.
type Messenger struct {
	// File keeps what waits.
	File string
	// SMTP is where mail is handed in: the box's own port 25.
	SMTP string
	// Settings gives the present settings.
	Settings func() healthapi.Settings
	Hostname func() string
	// TLS is what smart hosts are judged by; the system's authorities where nil.
	TLS *tls.Config
	Log *slog.Logger

	mu    sync.Mutex
	boxes map[string]*outbox
}

// ways are the ways of telling that the settings ask for.
func (m *Messenger) ways() map[string]func(ctx context.Context, now time.Time, changes []Change) error {
	s := m.Settings()
	ways := map[string]func(context.Context, time.Time, []Change) error{}
	if !s.NoMail {
		ways[byMail] = func(ctx context.Context, now time.Time, changes []Change) error {
			return m.mail(ctx, now, subject(m.Hostname(), changes), text(changes))
		}
	}
	if s.Webhook != "" {
		ways[byWebhook] = func(ctx context.Context, _ time.Time, changes []Change) error {
			return webhook(ctx, s.Webhook, m.Hostname(), changes)
		}
	}
	if s.MailTo != "" {
		ways[byRelay] = func(ctx context.Context, now time.Time, changes []Change) error {
			return m.relay(ctx, now, s, subject(m.Hostname(), changes), text(changes))
		}
	}
	return ways
}

// Load takes on what waited when this box was last in use. A file that is not
// there is no error.
func (m *Messenger) Load(now time.Time) error {
	raw, err := os.ReadFile(m.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept map[string][]Change
	if err := json.Unmarshal(raw, &kept); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for way, changes := range kept {
		m.box(way).waiting, m.box(way).since = changes, now
	}
	return nil
}

// box is what is to be told by a way. mu is held.
func (m *Messenger) box(way string) *outbox {
	if m.boxes == nil {
		m.boxes = map[string]*outbox{}
	}
	if m.boxes[way] == nil {
		m.boxes[way] = &outbox{told: map[string]time.Time{}, held: map[string]Change{}}
	}
	return m.boxes[way]
}

// keep writes down what waits. mu is held.
func (m *Messenger) keep() {
	kept := map[string][]Change{}
	for way, o := range m.boxes {
		if len(o.waiting) > 0 {
			kept[way] = o.waiting
		}
	}
	raw, err := json.Marshal(kept)
	if err == nil {
		err = atomicfile.Write(m.File, raw, 0o600)
	}
	if err != nil {
		m.Log.Warn("alerts that wait are not kept", "error", err)
	}
}

// Tell takes changes on; they go out with Work.
func (m *Messenger) Tell(now time.Time, changes []Change) {
	if len(changes) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for way := range m.ways() {
		for _, c := range changes {
			m.box(way).tell(now, c)
		}
	}
	m.keep()
}

// errand is what one way is to tell now.
type errand struct {
	way     string
	send    func(ctx context.Context, now time.Time, changes []Change) error
	changes []Change
}

// Work sends what is due. It is called every few seconds, by one goroutine. A
// server that keeps it waiting keeps nobody from Tell.
func (m *Messenger) Work(ctx context.Context, now time.Time) {
	for _, e := range m.due(now) {
		if err := e.send(ctx, now, e.changes); err != nil {
			m.Log.Warn("an alert could not be sent and is tried again", "by", e.way, "error", err)
			continue
		}
		m.mu.Lock()
		m.box(e.way).sent(e.changes)
		m.keep()
		m.mu.Unlock()
	}
}

func (m *Messenger) due(now time.Time) (errands []errand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ways, changed := m.ways(), false
	for way, o := range m.boxes {
		send := ways[way]
		if send == nil { // not asked for any more
			delete(m.boxes, way)
			changed = true
			continue
		}
		changed = o.release(now) || changed
		if o.due(now) {
			o.tried = now
			errands = append(errands, errand{way, send, slices.Clone(o.waiting)})
		}
	}
	if changed {
		m.keep()
	}
	return errands
}

// Test tells by each way that it works, and what came of it.
func (m *Messenger) Test(ctx context.Context, now time.Time) []healthapi.Told {
	test := []Change{{State: healthapi.State{
		ID: "test", Level: healthapi.Watch, Since: now, What: "This is a test: somebody asked the box to tell of it.",
		Means: "What the box has to say arrives here.", Do: "Nothing.",
	}}}
	told := []healthapi.Told{}
	for way, send := range m.ways() {
		t := healthapi.Told{Way: way}
		if err := send(ctx, now, test); err != nil {
			t.Error = err.Error()
		}
		told = append(told, t)
	}
	slices.SortFunc(told, func(a, b healthapi.Told) int { return strings.Compare(a.Way, b.Way) })
	return told
}

// report sends what is no change, by mail. It is told once: that it does not
// arrive elsewhere does not make it come twice here.
func (m *Messenger) report(ctx context.Context, now time.Time, subject, body string) error {
	if err := m.mail(ctx, now, subject, body); err != nil {
		return err
	}
	if s := m.Settings(); s.MailTo != "" {
		if err := m.relay(ctx, now, s, subject, body); err != nil {
			m.Log.Warn("a report is not sent elsewhere", "error", err)
		}
	}
	return nil
}

func subject(host string, changes []Change) string {
	worst := changes[0]
	for _, c := range changes {
		if c.State.Level > worst.State.Level {
			worst = c
		}
	}
	s := worst.State.What
	if worst.State.Level == healthapi.OK {
		s = "Well again: " + s
	}
	if n := len(changes) - 1; n > 0 {
		s += fmt.Sprintf(" (and %d more)", n)
	}
	return host + ": " + s
}

func text(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		s := c.State
		if s.Level == healthapi.OK {
			fmt.Fprintf(&b, "WELL AGAIN since %s\n\n  %s\n\n", s.Since.Format("2006-01-02 15:04 MST"), s.What)
			continue
		}
		word := "LOOK WITHIN DAYS"
		if s.Level == healthapi.Bad {
			word = "LOOK NOW"
		}
		if s.Known {
			word = "KNOWN"
		}
		fmt.Fprintf(&b, "%s, since %s\n\n  %s\n", word, s.Since.Format("2006-01-02 15:04 MST"), s.What)
		if s.Means != "" {
			fmt.Fprintf(&b, "\n  What it means: %s\n", s.Means)
		}
		if s.Do != "" {
			fmt.Fprintf(&b, "\n  What to do: %s\n", s.Do)
		}
		b.WriteString("\n")
	}
	b.WriteString("The console and mailctl health show all readings.\n")
	return b.String()
}

// mail hands a message for the administrator to the box's own SMTP server.
// RFC 5321 section 4.5.1 has it accept <postmaster> without a domain; the null
// sender keeps failures from coming back.
func (m *Messenger) mail(ctx context.Context, now time.Time, subject, body string) error {
	host := m.Hostname()
	conn, err := (&net.Dialer{Timeout: webhookTimeout}).DialContext(ctx, "tcp", m.SMTP)
	if err != nil {
		return fmt.Errorf("mail to the postmaster: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return fmt.Errorf("mail to the postmaster: %w", err)
	}
	if err := c.Hello("localhost"); err != nil {
		return fmt.Errorf("mail to the postmaster: %w", err)
	}
	if err := c.Mail(""); err != nil {
		return fmt.Errorf("mail to the postmaster: %w", err)
	}
	if err := c.Rcpt("postmaster"); err != nil {
		return fmt.Errorf("mail to the postmaster: %w", err)
	}
	w, err := c.Data()
	if err != nil {
		return fmt.Errorf("mail to the postmaster: %w", err)
	}
	_, err = io.WriteString(w, message(host, "postmaster@"+host, "postmaster@"+host, now, subject, body))
	if err := errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("mail to the postmaster: %w", err)
	}
	_ = c.Quit() // the message is accepted; how the session ends does not matter
	return nil
}

// message is the mail as RFC 5322 has it; RFC 3834 section 5 marks it as made
// by a program.
func message(host, from, to string, now time.Time, subject, body string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Pillarbox <%s>\r\nTo: %s\r\n", from, to)
	fmt.Fprintf(&b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", strings.ReplaceAll(subject, "\n", " ")))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <health.%d@%s>\r\n", now.Format(time.RFC1123Z), now.UnixNano(), host)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	q := quotedprintable.NewWriter(&b)
	_, _ = io.WriteString(q, strings.ReplaceAll(body, "\n", "\r\n")) // a buffer takes everything
	_ = q.Close()
	return b.String()
}

// webhook posts the changes as JSON.
func webhook(ctx context.Context, address, host string, changes []Change) error {
	type change struct {
		healthapi.State
		Was healthapi.Level `json:"was"`
	}
	var payload struct {
		Host    string   `json:"host"`
		Text    string   `json:"text"` // what chat services show
		Changes []change `json:"changes"`
	}
	payload.Host, payload.Text = host, subject(host, changes)
	for _, c := range changes {
		payload.Changes = append(payload.Changes, change{c.State, c.Was})
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		// Its words hold the address, which is the password of a chat service: not
		// for the log, which is sent about.
		var call *url.Error
		if errors.As(err, &call) {
			err = call.Err
		}
		return fmt.Errorf("webhook: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("webhook answers %s", res.Status)
	}
	return nil
}
