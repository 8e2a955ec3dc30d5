package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/config"
	"pillarbox/appliance/config/password"
)

func setup(ctx context.Context, c *ctl, args []string) error {
	var zone, name string
	rest, err := c.flags("setup", args, func(fs *flag.FlagSet) {
		fs.StringVar(&zone, "timezone", "", "time `zone`, such as Europe/Berlin")
		fs.StringVar(&name, "name", "", "`name` of the person with the first mailbox")
	}, 3)
	if err != nil {
		return err
	}
	// What can be wrong without the passwords is said before they are typed.
	for i, check := range []func(string) (string, error){config.Hostname, config.DomainName, config.Address} {
		if _, err := check(rest[i]); err != nil {
			return fmt.Errorf("%s %w", rest[i], err)
		}
	}
	s, err := c.mail.Status(ctx)
	if err != nil {
		return err
	}
	if s.SetupDone {
		return errors.New("the box is set up already")
	}
	admin, err := c.password("the administrator")
	if err != nil {
		return err
	}
	first, err := c.password(rest[2])
	if err != nil {
		return err
	}
	return c.mail.Setup(ctx, mailapi.Setup{
		Hostname: rest[0], Domain: rest[1], AdminAddress: rest[2], AdminPassword: admin, Timezone: zone,
		FirstUser: &mailapi.FirstUser{Address: rest[2], Name: name, Password: first},
	})
}

func user(ctx context.Context, c *ctl, args []string) error {
	var name, quota string
	var admin, yes, close, open bool
	var messages int64
	words := map[string]int{"list": 0, "add": 1, "show": 1, "set": 1, "remove": 1}
	v, args, err := c.verb("user", args, words)
	if err != nil {
		return err
	}
	rest, err := c.flags("user "+v, args, func(fs *flag.FlagSet) {
		if v == "add" || v == "set" {
			fs.StringVar(&name, "name", "", "`name` of the person")
			fs.StringVar(&quota, "quota", "", "storage limit, a `size` such as 5GB; 0 for none")
			fs.BoolVar(&admin, "admin", false, "receives mail for postmaster")
		}
		if v == "set" {
			fs.Int64Var(&messages, "messages", 0, "limit of the `number` of messages; 0 for none")
			fs.BoolVar(&close, "close", false, "no more logging in")
			fs.BoolVar(&open, "open", false, "logging in again")
		}
		if v == "remove" {
			fs.BoolVar(&yes, "yes", false, "do not ask")
		}
	}, words[v])
	if err != nil {
		return err
	}
	given := func(option string) bool {
		for _, a := range args {
			if n, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "="); strings.HasPrefix(a, "-") && n == option {
				return true
			}
		}
		return false
	}
	octets := int64(0)
	if quota != "" && quota != "0" {
		n, err := config.ParseSize(quota)
		if err != nil {
			return fmt.Errorf("quota %w", err)
		}
		octets = int64(n)
	}
	switch v {
	case "list":
		list, err := c.mail.Users(ctx)
		if err != nil {
			return err
		}
		return c.show(list, func(t *tabwriter.Writer) {
			row(t, "ADDRESS", "NAME", "MESSAGES", "USED", "LIMIT", "NOTES")
			for _, u := range list {
				row(t, config.Shown(u.Address), u.Name, u.Messages, size(u.Used), limit(u.Quota), notes(u))
			}
		})
	case "add":
		if _, err := config.Address(rest[0]); err != nil {
			return fmt.Errorf("%s %w", rest[0], err)
		}
		word, err := c.password(rest[0])
		if err != nil {
			return err
		}
		_, err = c.mail.AddUser(ctx, mailapi.NewUser{Address: rest[0], Name: name, Password: word, Quota: octets, Admin: admin})
		return err
	case "show":
		u, err := c.mail.User(ctx, rest[0])
		if err != nil {
			return err
		}
		return c.show(u, func(t *tabwriter.Writer) {
			row(t, "address", config.Shown(u.Address))
			row(t, "name", u.Name)
			row(t, "messages", u.Messages)
			row(t, "used", size(u.Used))
			row(t, "limit", limit(u.Quota))
			if u.MessageLimit > 0 {
				row(t, "limit of messages", u.MessageLimit)
			}
			row(t, "aliases", shown(u.Aliases))
			row(t, "notes", notes(*u))
			row(t, "since", stamp(u.Created))
		})
	case "set":
		var ch mailapi.UserChange
		if given("name") {
			ch.Name = &name
		}
		if given("quota") {
			ch.Quota = &octets
		}
		if given("messages") {
			ch.MessageLimit = &messages
		}
		if given("admin") {
			ch.Admin = &admin
		}
		switch {
		case close && open:
			return &usageError{"user set", "--close and --open contradict each other"}
		case close || open:
			ch.Disabled = &close
		case ch == (mailapi.UserChange{}):
			return &usageError{"user set", "does not say what to change"}
		}
		_, err := c.mail.ChangeUser(ctx, rest[0], ch)
		return err
	case "remove":
		u, err := c.mail.User(ctx, rest[0])
		if err != nil {
			return err
		}
		if err := c.confirmed(fmt.Sprintf("Remove %s with %d messages?", u.Address, u.Messages), yes); err != nil {
			return err
		}
		return c.mail.RemoveUser(ctx, u.Address)
	}
	return nil
}

// shown lists addresses as people write them.
func shown(addresses []string) string {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = config.Shown(a)
	}
	return strings.Join(list, ", ")
}

func notes(u mailapi.User) string {
	var n []string
	if u.Admin {
		n = append(n, "postmaster")
	}
	if u.Disabled {
		n = append(n, "closed")
	}
	return strings.Join(n, ", ")
}

func passwd(ctx context.Context, c *ctl, args []string) error {
	rest, err := c.flags("passwd", args, none, 1)
	if err != nil {
		return err
	}
	if rest[0] != config.AdminLogin {
		if _, err := c.mail.User(ctx, rest[0]); err != nil {
			return err
		}
	}
	word, err := c.password(rest[0])
	if err != nil {
		return err
	}
	if rest[0] == config.AdminLogin {
		return c.mail.SetAdminPassword(ctx, mailapi.AdminPassword{New: word})
	}
	return c.mail.SetPassword(ctx, rest[0], mailapi.Password{Password: word})
}

func appPassword(ctx context.Context, c *ctl, args []string) error {
	words := map[string]int{"list": 1, "add": 2, "remove": 2}
	v, args, err := c.verb("app-password", args, words)
	if err != nil {
		return err
	}
	rest, err := c.flags("app-password "+v, args, none, words[v])
	if err != nil {
		return err
	}
	switch v {
	case "list":
		list, err := c.mail.AppPasswords(ctx, rest[0])
		if err != nil {
			return err
		}
		return c.show(list, func(t *tabwriter.Writer) {
			row(t, "NAME", "SINCE", "LAST USED")
			for _, a := range list {
				row(t, a.Name, stamp(a.Created), stamp(a.Used))
			}
		})
	case "add":
		a, err := c.mail.AddAppPassword(ctx, rest[0], mailapi.NewAppPassword{Name: rest[1]})
		if err != nil {
			return err
		}
		return c.show(a, func(t *tabwriter.Writer) { row(t, a.Password) })
	case "remove":
		return c.mail.RemoveAppPassword(ctx, rest[0], rest[1])
	}
	return nil
}

func hash(_ context.Context, c *ctl, args []string) error {
	if _, err := c.flags("hash", args, none, 0); err != nil {
		return err
	}
	word, err := c.password("a provisioning file")
	if err != nil {
		return err
	}
	if err := password.Check(word, ""); err != nil {
		return fmt.Errorf("the password %w", err)
	}
	_, err = fmt.Fprintln(c.out, password.New(word))
	return err
}

func domain(ctx context.Context, c *ctl, args []string) error {
	var keep bool
	words := map[string]int{"list": 0, "add": 1, "rename": 2, "remove": 1}
	v, args, err := c.verb("domain", args, words)
	if err != nil {
		return err
	}
	rest, err := c.flags("domain "+v, args, func(fs *flag.FlagSet) {
		if v == "rename" {
			fs.BoolVar(&keep, "keep", false, "keep the old domain, its addresses as aliases of the new ones")
		}
	}, words[v])
	if err != nil {
		return err
	}
	switch v {
	case "list":
		list, err := c.mail.Domains(ctx)
		if err != nil {
			return err
		}
		return c.show(list, func(t *tabwriter.Writer) {
			row(t, "DOMAIN", "PEOPLE", "SINCE")
			for _, d := range list {
				row(t, config.Shown(d.Name), d.Users, stamp(d.Created))
			}
		})
	case "add":
		_, err := c.mail.AddDomain(ctx, mailapi.Domain{Name: rest[0]})
		return err
	case "rename":
		_, err := c.mail.ChangeDomain(ctx, rest[0], mailapi.DomainChange{Name: rest[1], Keep: keep})
		return err
	case "remove":
		return c.mail.RemoveDomain(ctx, rest[0])
	}
	return nil
}

func alias(ctx context.Context, c *ctl, args []string) error {
	words := map[string]int{"list": 0, "add": 2, "set": 2, "remove": 1}
	v, args, err := c.verb("alias", args, words)
	if err != nil {
		return err
	}
	rest, err := c.flags("alias "+v, args, none, words[v])
	if err != nil {
		return err
	}
	switch v {
	case "list":
		list, err := c.mail.Aliases(ctx)
		if err != nil {
			return err
		}
		return c.show(list, func(t *tabwriter.Writer) {
			row(t, "ALIAS", "LEADS TO")
			for _, a := range list {
				row(t, config.Shown(a.Address), config.Shown(a.Target))
			}
		})
	case "add":
		_, err := c.mail.AddAlias(ctx, mailapi.Alias{Address: rest[0], Target: rest[1]})
		return err
	case "set":
		_, err := c.mail.ChangeAlias(ctx, rest[0], mailapi.AliasChange{Target: &rest[1]})
		return err
	case "remove":
		return c.mail.RemoveAlias(ctx, rest[0])
	}
	return nil
}

func group(ctx context.Context, c *ctl, args []string) error {
	words := map[string]int{"list": 0, "add": -1, "join": -1, "leave": -1, "remove": 1}
	v, args, err := c.verb("group", args, words)
	if err != nil {
		return err
	}
	rest, err := c.flags("group "+v, args, none, words[v])
	if err != nil {
		return err
	}
	if words[v] < 0 && len(rest) < 2 {
		return &usageError{"group " + v, "takes the group's address and that of one member or more"}
	}
	switch v {
	case "list":
		list, err := c.mail.Groups(ctx)
		if err != nil {
			return err
		}
		return c.show(list, func(t *tabwriter.Writer) {
			row(t, "GROUP", "MEMBERS")
			for _, g := range list {
				row(t, config.Shown(g.Address), shown(g.Members))
			}
		})
	case "add":
		_, err := c.mail.AddGroup(ctx, mailapi.Group{Address: rest[0], Members: rest[1:]})
		return err
	case "join":
		_, err := c.mail.ChangeGroup(ctx, rest[0], mailapi.GroupChange{Add: rest[1:]})
		return err
	case "leave":
		_, err := c.mail.ChangeGroup(ctx, rest[0], mailapi.GroupChange{Remove: rest[1:]})
		return err
	case "remove":
		return c.mail.RemoveGroup(ctx, rest[0])
	}
	return nil
}
