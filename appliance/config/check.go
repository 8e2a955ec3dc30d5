package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pillarbox/appliance/config/password"
)

// check puts the values of p in normal form and says what is wrong with them,
// by line.
func (p *Provision) check(l lines) []Problem {
	c := &checker{lines: l, domains: make(map[string]bool), taken: make(map[string]string)}
	c.box(&p.Box)
	c.network(&p.Network)
	if p.Mail != nil {
		c.mail(p.Mail)
	}
	if p.Certificate != nil {
		p.Certificate.Check(func(field, message string) { c.problem("certificate."+field, message) })
	}
	for i := range p.Domains {
		c.domain(fmt.Sprintf("domain[%d]", i+1), &p.Domains[i])
	}
	for i := range p.Users {
		c.user(fmt.Sprintf("user[%d]", i+1), &p.Users[i])
	}
	for i := range p.Groups {
		c.group(fmt.Sprintf("group[%d]", i+1), &p.Groups[i])
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return c.problems
}

type checker struct {
	lines    lines
	problems []Problem
	domains  map[string]bool
	taken    map[string]string // address in use, by which field
}

func (c *checker) problem(field, message string) {
	c.problems = append(c.problems, Problem{c.lines.of(field), field, message})
}

// value applies a check to a value that is there.
func (c *checker) value(field string, v *string, check func(string) (string, error)) bool {
	if *v == "" {
		return false
	}
	normal, err := check(*v)
	if err != nil {
		c.problem(field, err.Error())
		return false
	}
	*v = normal
	return true
}

// required is value for what must not be left out.
func (c *checker) required(field string, v *string, check func(string) (string, error)) bool {
	if *v == "" {
		c.problem(field, "is missing")
		return false
	}
	return c.value(field, v, check)
}

func (c *checker) list(field string, v []string, check func(string) (string, error)) {
	for i := range v {
		c.required(fmt.Sprintf("%s[%d]", field, i+1), &v[i], check)
	}
}

func (c *checker) box(b *Box) {
	c.value("box.hostname", &b.Hostname, Hostname)
	c.value("box.timezone", &b.Timezone, Timezone)
	c.value("box.language", &b.Language, Language)
	c.value("box.keyboard", &b.Keyboard, Keyboard)
	c.list("box.administration", b.Administration, Subnet)
	if b.DataDisk = strings.TrimSpace(b.DataDisk); b.DataDisk != "" {
		b.DataDiskLine = c.lines.of("box.data_disk")
	}
	c.password("box.admin_password", b.AdminPassword, b.AdminPasswordHash, AdminLogin)
}

func (c *checker) password(field, plain, hash, login string) {
	switch {
	case plain != "" && hash != "":
		c.problem(field, "and "+field+"_hash must not both be given")
	case plain != "":
		if err := password.Check(plain, login); err != nil {
			c.problem(field, err.Error())
		}
	case hash != "":
		if _, err := password.Parse(hash); err != nil {
			c.problem(field+"_hash", "must be an argon2id hash as `mailctl hash` prints it")
		}
	}
}

func (c *checker) network(n *NetworkAndTime) {
	c.list("network.ntp", n.NTP, TimeServer)
	if n.Given() {
		n.Check(func(field, message string) { c.problem("network."+field, message) })
	}
}

func (c *checker) mail(m *Mail) {
	c.value("mail.smart_host", &m.SmartHost, HostPort)
	if m.SmartHost == "" && (m.SmartHostUser != "" || m.SmartHostPassword != "") {
		c.problem("mail.smart_host_user", "needs smart_host")
	}
	if (m.SmartHostUser == "") != (m.SmartHostPassword == "") {
		c.problem("mail.smart_host_user", "and smart_host_password must be given together")
	}
	if m.MaxMessageSize != 0 {
		if err := MessageSize(m.MaxMessageSize); err != nil {
			c.problem("mail.max_message_size", err.Error())
		}
	}
	if m.UndeleteDays != nil {
		if err := UndeleteDays(*m.UndeleteDays); err != nil {
			c.problem("mail.undelete_days", err.Error())
		}
	}
}

// Bounds of the size limit for messages. Below the lower one, mail with a
// picture fails; RFC 5321 section 4.5.3.1.7 asks for at least 64 KiB.
const (
	minMessageSize = 1 << 20
	maxMessageSize = 1 << 30
)

// maxUndeleteDays bounds how long deleted mail is kept: it takes the disk of
// mail that people want.
const maxUndeleteDays = 365

// UndeleteDays checks for how many days deleted mail is to stay restorable.
func UndeleteDays(n int) error {
	if n < 0 || n > maxUndeleteDays {
		return fmt.Errorf("must be a number of days between 0 and %d", maxUndeleteDays)
	}
	return nil
}

// MessageSize checks the limit for the size of a message.
func MessageSize(s Size) error {
	if s < minMessageSize || s > maxMessageSize {
		return fmt.Errorf("must be between %v and %v", Size(minMessageSize), Size(maxMessageSize))
	}
	return nil
}

func (c *checker) domain(field string, d *Domain) {
	if !c.required(field+".name", &d.Name, DomainName) {
		return
	}
	if c.domains[d.Name] {
		c.problem(field+".name", "is there twice: "+d.Name)
	}
	c.domains[d.Name] = true
}

// own checks an address that is to be this box's: its domain is hosted, and
// nothing else has it.
func (c *checker) own(field string, address *string) bool {
	if !c.required(field, address, Address) {
		return false
	}
	domain := (*address)[strings.LastIndexByte(*address, '@')+1:]
	if !c.domains[domain] {
		c.problem(field, fmt.Sprintf("is in %s, which is not one of the [[domain]] entries", domain))
		return false
	}
	if by, ok := c.taken[*address]; ok {
		c.problem(field, "is taken already by "+by)
		return false
	}
	c.taken[*address] = field
	return true
}

func (c *checker) user(field string, u *User) {
	c.own(field+".address", &u.Address)
	c.value(field+".name", &u.Name, PersonName)
	if u.Password == "" && u.PasswordHash == "" {
		c.problem(field, "needs password or password_hash")
	}
	c.password(field+".password", u.Password, u.PasswordHash, u.Address)
	if u.Quota < 0 {
		c.problem(field+".quota", "must not be negative")
	}
	for i := range u.Aliases {
		c.own(fmt.Sprintf("%s.aliases[%d]", field, i+1), &u.Aliases[i])
	}
}

func (c *checker) group(field string, g *Group) {
	c.own(field+".address", &g.Address)
	if len(g.Members) == 0 {
		c.problem(field+".members", "must name at least one address")
	}
	c.list(field+".members", g.Members, Member)
}
