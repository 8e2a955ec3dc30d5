package health

import (
	"bytes"
	"context"
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
	"os"
	"slices"
	"strings"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/config/atomicfile"
)

const (
	// gather is how long changes wait for others, so that a pulled disk is one
	// message and not ten.
	gather = 30 * time.Second

	// floodGap is the least time between two messages about the same thing.
	floodGap = 10 * time.Minute

	// maxWaiting bounds what is kept while mail does not work.
	maxWaiting = 200

	retryEvery     = time.Minute
	webhookTimeout = 10 * time.Second
)

// Messenger tells the owner about changes, by mail to the postmaster and by
// webhook. What cannot be told now is told later, after a restart too.
type Messenger struct {
	// File keeps what waits.
	File string
	// SMTP is where mail is handed in: the box's own port 25.
	SMTP string
	// Settings gives the present settings.
	Settings func() healthapi.Settings
	Hostname func() string
	Log      *slog.Logger

	waiting  []Change             // for mail
	unposted []Change             // for the webhook
	since    time.Time            // of the first in waiting
	told     map[string]time.Time // the last message about each state
	held     map[string]Change    // within floodGap of the last
	tried    time.Time
}

// Load takes on what waited when this box was last in use. A file that is not
// there is no error.
func (m *Messenger) Load(now time.Time) error {
	raw, err := os.ReadFile(m.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &m.waiting)
	}
	m.since = now
	return err
}

// keep writes down what waits.
func (m *Messenger) keep() {
	raw, err := json.Marshal(m.waiting)
	if err == nil {
		err = atomicfile.Write(m.File, raw, 0o600)
	}
	if err != nil {
		m.Log.Warn("alerts that wait are not kept", "error", err)
	}
}

// Tell takes changes on; they go out with Work.
func (m *Messenger) Tell(now time.Time, changes []Change) {
	if m.told == nil {
		m.told, m.held = map[string]time.Time{}, map[string]Change{}
	}
	for _, c := range changes {
		if last, ok := m.told[c.State.ID]; ok && now.Sub(last) < floodGap && !m.waits(c.State.ID) {
			// Only how it ends up matters: the first Was, the last State.
			if h, ok := m.held[c.State.ID]; ok {
				c.Was = h.Was
			}
			m.held[c.State.ID] = c
			continue
		}
		m.take(now, c)
	}
}

// waits reports whether a state is to be told that has changed again: then the
// message tells how it ended up.
func (m *Messenger) waits(id string) bool {
	return slices.ContainsFunc(m.waiting, func(c Change) bool { return c.State.ID == id })
}

func (m *Messenger) take(now time.Time, c Change) {
	if len(m.waiting) == 0 {
		m.since = now
	}
	m.told[c.State.ID] = now
	if len(m.unposted) < maxWaiting {
		m.unposted = append(m.unposted, c)
	}
	defer m.keep()
	for i, w := range m.waiting {
		if w.State.ID == c.State.ID {
			m.waiting[i].State = c.State
			return
		}
	}
	if len(m.waiting) < maxWaiting {
		m.waiting = append(m.waiting, c)
	}
}

// Work sends what is due. It is called every few seconds.
func (m *Messenger) Work(ctx context.Context, now time.Time) {
	for id, c := range m.held {
		if now.Sub(m.told[id]) >= floodGap {
			delete(m.held, id)
			if c.Was != c.State.Level {
				m.take(now, c)
			}
		}
	}
	if len(m.waiting) == 0 || now.Sub(m.since) < gather || now.Sub(m.tried) < retryEvery {
		return
	}
	m.tried = now
	if err := m.send(ctx, now); err != nil {
		m.Log.Warn("an alert could not be sent and is tried again", "error", err)
		return
	}
	m.waiting = nil
	m.keep()
}

// send tells all that waits. A webhook that fails does not make the mail come
// twice, nor mail that does not work the webhook.
func (m *Messenger) send(ctx context.Context, now time.Time) error {
	settings := m.Settings()
	if settings.Webhook != "" && len(m.unposted) > 0 {
		if err := webhook(ctx, settings.Webhook, m.Hostname(), m.unposted); err != nil {
			m.Log.Warn("the webhook does not take an alert", "error", err)
		}
	}
	m.unposted = nil
	if settings.NoMail {
		return nil
	}
	return m.mail(ctx, now, subject(m.Hostname(), m.waiting), text(m.waiting))
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
	_, err = io.WriteString(w, message(host, now, subject, body))
	if err := errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("mail to the postmaster: %w", err)
	}
	_ = c.Quit() // the message is accepted; how the session ends does not matter
	return nil
}

// message is the mail as RFC 5322 has it; RFC 3834 section 5 marks it as made
// by a program.
func message(host string, now time.Time, subject, body string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Pillarbox <postmaster@%s>\r\nTo: postmaster@%s\r\n", host, host)
	fmt.Fprintf(&b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", strings.ReplaceAll(subject, "\n", " ")))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <health.%d@%s>\r\n", now.Format(time.RFC1123Z), now.UnixNano(), host)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	q := quotedprintable.NewWriter(&b)
	_, _ = io.WriteString(q, strings.ReplaceAll(body, "\n", "\r\n")) // a buffer takes everything
	_ = q.Close()
	return b.String()
}

// webhook posts the changes as JSON.
func webhook(ctx context.Context, url, host string, changes []Change) error {
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("webhook answers %s", res.Status)
	}
	return nil
}
