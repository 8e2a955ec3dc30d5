package console

import (
	"cmp"
	"context"
	"strings"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/config"
)

// certificatePage asks where the certificate is to come from. An own one is no
// question for a fresh box: the menu takes it later.
func (w *wizard) certificatePage() *page {
	T := w.c.T
	source := newField(field{id: "certificate", label: T("Certificate"), options: []string{T("by the box's own authority"), T("by a public authority (Let's Encrypt)")},
		help: T("Mail programs ask once whether to trust the box's own. A public one they know, but port 80 of this box must be reachable from the Internet and its name be in the DNS.")}, "")
	return &page{title: T("Certificate"), intro: T("Either can be changed later. While there is none of a public authority, the box's own is shown."),
		fields: []*field{source, letters(w.c, "certificate_email", func() bool { return source.value() == source.options[0] })}}
}

// letters asks for the address that a public authority writes to.
func letters(c *Catalogue, id string, needless func() bool) *field {
	T := c.T
	return newField(field{
		id: id, label: T("Address the authority may write to"), needless: needless, check: optional(c, config.Member),
		help: T("May be left empty. Going on, you agree to the authority's terms; those of Let's Encrypt are at letsencrypt.org/repository."),
	}, "")
}

// optional is checked for what may be left empty.
func optional(c *Catalogue, check func(string) (string, error)) func(string) error {
	return func(v string) error {
		if v == "" {
			return nil
		}
		return checked(c, check)(v)
	}
}

// certificateAnswer is what was chosen, with the address.
func (w *wizard) certificateAnswer() (public bool, email string) {
	source, address := w.field("certificate"), w.field("certificate_email")
	if source.value() == source.options[0] {
		return false, ""
	}
	return true, address.value()
}

// certificateSummary says it in a line.
func (w *wizard) certificateSummary() string {
	if public, _ := w.certificateAnswer(); public {
		return w.field("certificate").value()
	}
	return w.c.T("made by the box's own authority")
}

// certificates is the menu of the certificate: what there is, and where it comes from.
func (m *model) certificates() *list {
	T := m.c.T
	return &list{
		title: T("Certificate"), intro: T("Mail programs know this box by it. A new one is shown at once; nothing is restarted."),
		load: func(ctx context.Context) ([]item, error) {
			c, err := m.mail.Certificate(ctx)
			if err != nil {
				return nil, err
			}
			chosen := func(mode string) string {
				if c.Mode == mode {
					return T("chosen")
				}
				return ""
			}
			return []item{
				{T("Show it"), "", func() tea.Cmd { return m.openText(m.certificate()) }},
				{T("by the box's own authority"), chosen(mailapi.CertificateOwn), func() tea.Cmd {
					if c.Mode == mailapi.CertificateOwn {
						return m.ownCertificate()
					}
					m.leaveCertificate(T("Yes, by the box's own authority"), m.ownCertificate)
					return nil
				}},
				{T("by a public authority"), chosen(mailapi.CertificateACME), func() tea.Cmd { m.openForm(m.publicCertificate(c)); return nil }},
				{T("from a USB stick"), chosen(mailapi.CertificateImported), func() tea.Cmd { m.openForm(m.stickCertificate()); return nil }},
			}, nil
		},
	}
}

// leaveCertificate asks back where mail programs trust another certificate now
// than the one they are shown next.
func (m *model) leaveCertificate(yes string, do func() tea.Cmd) {
	T := m.c.T
	m.confirm(T("Certificate"), T("Mail programs do not know the box's own authority: they warn of its certificate, or stop fetching and sending, until each person agrees to it. No mail is lost, and you can go back to the present one at any time."),
		yes, do)
}

// ownCertificate goes back to the box's own authority.
func (m *model) ownCertificate() tea.Cmd {
	return m.ask(func(ctx context.Context) then {
		_, err := m.mail.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateOwn})
		return func() tea.Cmd {
			m.notice = m.c.T("The box's own authority signs the certificate.")
			if err != nil {
				m.failed(err)
			}
			return m.reloadTop()
		}
	})
}

// publicCertificate asks for what a public authority needs.
func (m *model) publicCertificate(now *mailapi.Certificate) *form {
	T := m.c.T
	email := letters(m.c, "email", nil)
	directory := newField(field{
		id: "directory", label: T("Another authority's directory"), check: optional(m.c, config.Directory),
		help: T("An https address by the ACME standard. Empty: Let's Encrypt."),
	}, "")
	if now.Mode == mailapi.CertificateACME {
		email.set(now.Email)
		directory.set(now.Directory)
	}
	f := &form{
		title: T("by a public authority"), button: T("Ask the authority"), fields: []*field{email, directory},
		intro: T("Port 80 of this box must be reachable from the Internet, and its name be in the DNS. It is renewed by itself, and until there is one the box's own is shown."),
		submit: func(ctx context.Context) error {
			_, err := m.mail.SetCertificate(ctx, mailapi.CertificateChoice{Mode: mailapi.CertificateACME, Email: email.value(), Directory: directory.value()})
			return err
		},
		done: m.back(T("The authority is being asked: look here again in a minute.")),
	}
	if now.Mode == mailapi.CertificateImported { // until the authority has answered the box's own is shown
		f.before = func() bool {
			m.leaveCertificate(T("Yes, ask the authority"), func() tea.Cmd { return f.send(m) })
			return true
		}
	}
	return f
}

// stickCertificate takes the certificate from a stick.
func (m *model) stickCertificate() *form {
	T := m.c.T
	return &form{
		title: T("from a USB stick"), button: T("Read the stick"),
		intro:  T("Plug in a stick, formatted with FAT, with the files %s (with the certificates between it and its authority) and %s. Keep the stick locked away afterwards: whoever has the key can pass for this box.", boxapi.StickCertificate, boxapi.StickKey),
		submit: func(ctx context.Context) error { return m.box.CertificateFromStick(ctx) },
		done:   m.back(T("The certificate was taken over; pull the stick out.")),
	}
}

// certificate is the screen of what clients see.
func (m *model) certificate() *text {
	T := m.c.T
	return &text{title: T("Certificate"), still: true, load: func(ctx context.Context) ([]string, error) {
		c, err := m.mail.Certificate(ctx)
		if err != nil {
			return nil, err
		}
		stamp := "2006-01-02 15:04 MST"
		lines := []string{
			T("Names: %s", strings.Join(c.Names, ", ")),
			T("Good until: %s", c.NotAfter.In(m.zone).Format(stamp)),
			"", T("Fingerprint (SHA-256), to compare with what a mail program shows:"),
		}
		lines = append(append(lines, wrap(strings.ReplaceAll(c.SHA256, ":", " "), 60)...), "")
		if c.Source == mailapi.CertificateOwn {
			lines = append(lines, T("Made by the box's own authority: %s", c.Issuer))
		} else {
			lines = append(lines, T("Signed by %s", c.Issuer))
		}
		if c.Private && c.Source != mailapi.CertificateOwn {
			lines = append(lines, wrap(T("No authority that mail programs know vouches for it. Maybe the certificates between it and its authority are missing."), m.width-4)...)
		}
		why := cmp.Or(c.Problem, c.Failure)
		switch {
		case why != "":
			lines = append(append(lines, ""), wrap(m.c.Report(why), m.width-4)...)
		case c.Source != c.Mode:
			lines = append(lines, "", T("The authority is being asked."))
		}
		if !c.NextTry.IsZero() {
			lines = append(lines, T("It is asked again at %s.", c.NextTry.In(m.zone).Format(stamp)))
		}
		return lines, nil
	}}
}
