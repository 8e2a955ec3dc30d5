package console

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

func (f *fakeMail) Aliases(context.Context) ([]mailapi.Alias, error) { return f.aliases, nil }
func (f *fakeMail) Groups(context.Context) ([]mailapi.Group, error)  { return f.groups, nil }

// here refuses an address of the box that nobody has, as maild does.
func (f *fakeMail) here(field, address string) error {
	if strings.HasSuffix(address, "@example.org") && !slices.ContainsFunc(f.users, func(u mailapi.User) bool { return u.Address == address }) {
		return wire.Invalid(field, "must exist: nobody has the address %s", address)
	}
	return nil
}

func (f *fakeMail) AddAlias(_ context.Context, a mailapi.Alias) (*mailapi.Alias, error) {
	if strings.HasSuffix(a.Address, "@example.com") {
		return nil, wire.Invalid("address", "is in example.com, which is not one of this box's domains")
	}
	if a.Address == "ann@example.org" {
		return nil, wire.Conflict("ann@example.org is a person already")
	}
	if err := f.here("target", a.Target); err != nil {
		return nil, err
	}
	f.aliases = append(f.aliases, a)
	f.changed = append(f.changed, "alias "+a.Address+" "+a.Target)
	return &a, nil
}

func (f *fakeMail) ChangeAlias(_ context.Context, address string, c mailapi.AliasChange) (*mailapi.Alias, error) {
	f.changed = append(f.changed, "lead "+address+" "+*c.Target)
	f.aliases[0].Target = *c.Target
	return &f.aliases[0], nil
}

func (f *fakeMail) RemoveAlias(_ context.Context, address string) error {
	f.changed = append(f.changed, "remove "+address)
	f.aliases = nil
	return nil
}

func (f *fakeMail) AddGroup(_ context.Context, g mailapi.Group) (*mailapi.Group, error) {
	for _, m := range g.Members {
		if err := f.here("members", m); err != nil {
			return nil, err
		}
	}
	f.groups = append(f.groups, g)
	f.changed = append(f.changed, "group "+g.Address+" "+strings.Join(g.Members, "+"))
	return &g, nil
}

func (f *fakeMail) ChangeGroup(_ context.Context, address string, c mailapi.GroupChange) (*mailapi.Group, error) {
	g := &f.groups[0]
	if len(g.Members) == len(c.Remove) {
		return nil, wire.Invalid("members", "must name at least one address; remove the group instead")
	}
	g.Members = slices.DeleteFunc(append(g.Members, c.Add...), func(m string) bool { return slices.Contains(c.Remove, m) })
	f.changed = append(f.changed, "members "+strings.Join(g.Members, "+"))
	return g, nil
}

func (f *fakeMail) RemoveGroup(_ context.Context, address string) error {
	f.changed = append(f.changed, "remove "+address)
	f.groups = nil
	return nil
}

func TestAliasesOnTheConsole(t *testing.T) {
	d, mail, _ := menuDrive(t)
	d.unlock()
	d.choose("Aliases and groups")
	d.choose("+ Add an alias")
	d.keys("info", "enter")
	d.wants("This must be an address such as ann@example.org.")
	d.keys("@example.com", "enter", "anne@example.org", "enter", "enter")
	d.wants("This is in example.com, which is not one of this box's domains.")
	d.press(len("com"), "backspace")
	d.keys("org", "enter", "enter", "enter")
	d.expect("menu-alias-wrong")
	d.press(len("e@example.org"), "backspace")
	d.keys("enter", "enter")
	d.wants("Mail to info@example.org goes to ann@example.org from now on.") // whose name alone was typed
	d.choose("+ Add an alias")
	d.keys("ann@example.org", "enter", "bob@example.net", "enter", "enter")
	d.wants("That did not work: ann@example.org is a person already")
	d.keys("esc")
	d.expect("menu-addresses")

	d.choose("info@example.org")
	d.choose("Let it lead to another address")
	d.press(len("ann@example.org"), "backspace")
	d.keys("bob@example.net", "enter", "enter")
	d.wants("leads to bob@example.net")
	d.choose("info@example.org")
	d.choose("Remove the alias")
	d.expect("menu-alias-remove")
	d.keys("enter")
	if len(mail.aliases) != 1 {
		t.Error("removed without a yes")
	}
	d.choose("Remove the alias")
	d.keys("down", "enter")
	d.wants("info@example.org was removed.", "Add a group")
	mail.done(t, "alias info@example.org ann@example.org", "lead info@example.org bob@example.net", "remove info@example.org")
}

func TestGroupsOnTheConsole(t *testing.T) {
	d, mail, _ := menuDrive(t)
	d.unlock()
	d.choose("Aliases and groups")
	d.choose("+ Add a group")
	d.keys("all@example.org", "enter", "enter")
	d.wants("Please fill this in.")
	d.keys("ann, @bob", "enter")
	d.wants("@bob: This must be an address such as ann@example.org.")
	d.press(len("@bob"), "backspace")
	d.keys("bob", "enter", "enter")
	d.wants("This must exist: nobody has the address bob@example.org.")
	d.keys("@example.net", "enter", "enter")
	d.wants("all@example.org can be used.", "2 members: ann@example.org, bob")
	d.choose("all@example.org")
	d.choose("+ Add members")
	d.keys("eve@example.net", "enter", "enter")
	d.expect("menu-group")
	d.choose("bob@example.net")
	d.wants("bob@example.net gets no mail to all@example.org any more.")
	d.keys("enter")
	d.choose("bob@example.net")
	d.keys("down", "enter")
	d.choose("eve@example.net")
	d.keys("down", "enter")
	d.choose("ann@example.org")
	d.keys("down", "enter")
	d.wants("remove the group instead")
	d.choose("- Remove the group")
	d.keys("down", "enter")
	d.wants("all@example.org was removed.")
	mail.done(t, "group all@example.org ann@example.org+bob@example.net", "members ann@example.org+bob@example.net+eve@example.net",
		"members ann@example.org+eve@example.net", "members ann@example.org", "remove all@example.org")
}

// A mailbox says by which other addresses it is reached.
func TestAMailboxNamesItsAliases(t *testing.T) {
	d, mail, _ := menuDrive(t)
	mail.users[0].Aliases = []string{"info@example.org", "sales@example.org"}
	d.unlock()
	d.choose("Mailboxes and passwords")
	d.choose("ann@example.org")
	d.wants("Also reached as info@example.org, sales@example.org")
}
