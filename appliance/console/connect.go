package console

import (
	"context"
	"net/netip"
	"strings"

	"charm.land/lipgloss/v2"

	"pillarbox/appliance/api/mailapi"
)

// clientSettings are what a person types into a mail program; user is the
// login name, or what stands for it.
func clientSettings(c *Catalogue, host, user string) []string {
	T := c.T
	row := func(label, value string) string { return fit(label, 26) + value }
	return []string{
		T("In a mail program:"),
		row(T("User name"), user),
		row(T("Incoming mail (IMAP)"), host+T(", port 993, TLS")),
		row(T("Incoming mail (POP3)"), host+T(", port 995, TLS")),
		row(T("Outgoing mail (SMTP)"), host+T(", port 465, TLS")),
	}
}

// whereabouts are the names and addresses the box is reached by.
func whereabouts(c *Catalogue, host string, links []Link) []string {
	T := c.T
	row := func(label, value string) string { return fit(label, 26) + value }
	label, _, _ := strings.Cut(host, ".")
	lines := []string{T("This box:"), row(T("On the Internet"), host), row(T("On your network"), label+".local")}
	for _, l := range links {
		for _, a := range l.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil && !p.Addr().IsLinkLocalUnicast() {
				lines = append(lines, row("", p.Addr().String()))
			}
		}
	}
	return lines
}

// record is one record of the DNS, as a person types it in at a registrar.
type record struct{ name, kind, value string }

// dnsRecords are what the world has to find in the DNS for the box to get the
// mail of the domains and to be believed when it sends. Where mail leaves by a
// smart host, its provider's servers speak for the domain as well.
func dnsRecords(c *Catalogue, host string, domains []string, links []Link, smartHost bool) []record {
	var list []record
	for _, l := range links {
		for _, a := range l.Addresses {
			if r, ok := addressRecord(c.T, host, a); ok {
				list = append(list, r)
			}
		}
	}
	spf := "v=spf1 mx -all" // RFC 7208: who the MX records name, nobody else
	if smartHost {
		spf = "v=spf1 mx " + c.T("include:(ask your provider)") + " -all"
	}
	for _, d := range domains {
		list = append(list,
			record{d, "MX", "10 " + host},
			record{d, "TXT", spf},
			// RFC 7489: none, for the box does not sign mail.
			record{"_dmarc." + d, "TXT", "v=DMARC1; p=none"},
			// RFC 6186 and RFC 8314: how mail programs find the box.
			record{"_imaps._tcp." + d, "SRV", "0 1 993 " + host},
			record{"_pop3s._tcp." + d, "SRV", "10 1 995 " + host},
			record{"_submissions._tcp." + d, "SRV", "0 1 465 " + host},
		)
	}
	return list
}

// addressRecord is the record for one of the box's addresses. An address that
// means something in this house alone has none of its own.
func addressRecord(T func(string, ...any) string, host, prefix string) (record, bool) {
	p, err := netip.ParsePrefix(prefix)
	ip := p.Addr()
	shared := netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	siteLocal := netip.MustParsePrefix("fec0::/10")  // RFC 3879
	switch {
	case err != nil || ip.IsLinkLocalUnicast() || ip.IsLoopback():
		return record{}, false
	case ip.Is4() && (ip.IsPrivate() || shared.Contains(ip)):
		return record{host, "A", T("(your public address; here %s)", ip)}, true
	case ip.Is4():
		return record{host, "A", ip.String()}, true
	case ip.IsPrivate() || siteLocal.Contains(ip):
		return record{}, false
	}
	return record{host, "AAAA", ip.String()}, true
}

// recordLines draw records, as a table where they are narrow enough.
func recordLines(c *Catalogue, host string, list []record, width int) []string {
	T := c.T
	lines := append(wrap(T("Set these where the DNS of your domain is kept:"), width), "")
	name := 0
	for _, r := range list {
		name = max(name, lipgloss.Width(r.name))
	}
	for _, r := range list {
		line := fit(r.name, name+2) + fit(r.kind, 6) + r.value
		if lipgloss.Width(line) > width {
			lines = append(lines, fit(r.name, name+2)+r.kind, "    "+r.value)
			continue
		}
		lines = append(lines, line)
	}
	lines = append(lines, "")
	return append(lines, wrap(T("And ask your line's provider for the reverse name (PTR) %s of your public address: many servers refuse mail without it.", host), width)...)
}

// dns is the screen of the records, with all domains the box has.
func (m *model) dns() *text {
	return &text{title: m.c.T("DNS records to set"), still: true, load: func(ctx context.Context) ([]string, error) {
		domains, err := m.mail.Domains(ctx)
		if err != nil {
			return nil, err
		}
		settings, err := m.mail.Settings(ctx)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, d := range domains {
			names = append(names, d.Name)
		}
		host := m.state.Hostname
		return recordLines(m.c, host, dnsRecords(m.c, host, names, m.state.Links, settings.SmartHost != ""), m.width-4), nil
	}}
}

// connecting is the screen of what to type into mail programs.
func (m *model) connecting() *text {
	T := m.c.T
	lines := append(whereabouts(m.c, m.state.Hostname, m.state.Links), "")
	return &text{title: T("Connecting mail programs"), lines: append(lines, clientSettings(m.c, m.state.Hostname, T("the whole address"))...)}
}

// welcomeSheets are read once after the set-up: what the person does next.
func (m *model) welcomeSheets() []screen {
	T, a := m.c.T, m.wizard.answers()
	first := append([]string{T("The box is set up and carries mail."), ""}, whereabouts(m.c, a.Hostname, m.state.Links)...)
	first = append(append(first, ""), clientSettings(m.c, a.Hostname, a.Mailbox)...)
	records := dnsRecords(m.c, a.Hostname, []string{a.Domain}, m.state.Links, a.SmartHost != "")
	return []screen{
		&text{title: T("Done"), lines: first},
		&text{title: T("DNS records to set"), lines: recordLines(m.c, a.Hostname, records, m.width-4)},
		newPhone(a.Hostname, mailapi.User{Address: a.Mailbox, Name: a.MailboxName}),
	}
}
