package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/config"
	"pillarbox/cmd/mailctl/backupcmd"
)

// logLines is how much of a log is shown.
const logLines = 200

// reason stands in the box's log beside a stop asked for here.
const reason = "asked for by mailctl"

// overview is what status shows. Parts that did not answer are nil.
type overview struct {
	Mail     *mailapi.Status         `json:"mail,omitempty"`
	Box      *boxapi.Status          `json:"box,omitempty"`
	Services []initapi.ServiceStatus `json:"services,omitempty"`
}

func status(ctx context.Context, c *ctl, args []string) error {
	if _, err := c.flags("status", args, none, 0); err != nil {
		return err
	}
	var o overview
	var err error
	if o.Mail, err = c.mail.Status(ctx); err != nil {
		return err
	}
	// On a developer's machine there is neither boxd nor init.
	if b, err := c.box.Status(ctx); err == nil {
		o.Box = b
	}
	if s, err := c.init.Services(ctx); err == nil {
		o.Services = s
	}
	return c.show(o, func(t *tabwriter.Writer) {
		m := o.Mail
		row(t, "version", m.Version)
		row(t, "host name", m.Hostname)
		row(t, "set up", yesNo(m.SetupDone))
		row(t, "mail served", yesNo(m.Serving)+", since "+stamp(m.Started))
		row(t, "people", fmt.Sprintf("%d in %s", m.Users, count(m.Domains, "domain")))
		row(t, "messages", fmt.Sprintf("%d, %s", m.Messages, size(m.StoredBytes)))
		row(t, "on the way out", m.Queue.Count)
		row(t, "disk", fmt.Sprintf("%s free of %s, %s", size(m.Disk.Free), size(m.Disk.Total), m.Disk.State))
		if b := o.Box; b != nil {
			if d := mailDisk(b.Disks); d != "" {
				row(t, "mail is on", d)
			}
			for _, i := range b.Interfaces {
				row(t, "network "+i.Name, interfaceLine(i))
			}
			row(t, "clock", "in step: "+yesNo(b.Clock.Synced), "proven by NTS: "+yesNo(b.Clock.Proven))
		}
		for _, s := range o.Services {
			row(t, "service "+s.Name, fmt.Sprintf("%s, %s", s.State, count(s.Restarts, "restart")))
		}
		for _, l := range m.Listeners {
			row(t, "port "+l.Name, fmt.Sprintf("%s, %s", l.Addr, count(l.Open, "connection")))
		}
		for _, p := range m.Problems {
			row(t, "PROBLEM", p)
		}
	})
}

// mailDisk says which disk mail is kept on; empty where that is not known.
func mailDisk(disks []boxapi.Disk) string {
	text := ""
	for _, d := range disks {
		if d.Role != boxapi.RoleMail && (d.Role != boxapi.RoleSystem || text != "") {
			continue
		}
		text = "the system disk " + d.Name
		if d.Role == boxapi.RoleMail {
			text = "the disk " + d.Name
		}
		for _, part := range []string{d.Model, d.Serial, d.Bus} {
			if part != "" {
				text += ", " + part
			}
		}
		text += ", " + size(d.Size)
	}
	return text
}

func queue(ctx context.Context, c *ctl, args []string) error {
	words := map[string]int{"list": 0, "retry": 1, "drop": 1}
	v, args, err := c.verb("queue", args, words)
	if err != nil {
		return err
	}
	rest, err := c.flags("queue "+v, args, none, words[v])
	if err != nil {
		return err
	}
	if v == "list" {
		list, err := c.mail.Queue(ctx)
		if err != nil {
			return err
		}
		return c.show(list, func(t *tabwriter.Writer) {
			row(t, "ID", "FROM", "TO", "SIZE", "SINCE", "NEXT", "TRIES", "LAST ERROR")
			for _, e := range list {
				row(t, e.ID, e.Sender, e.Recipient, size(e.Size), stamp(e.Created), stamp(e.Due), e.Attempts, e.LastError)
			}
		})
	}
	id, err := strconv.ParseUint(rest[0], 10, 64)
	if err != nil {
		return &usageError{"queue " + v, fmt.Sprintf("%q is no number of an entry", rest[0])}
	}
	if v == "drop" {
		return c.mail.DeleteQueued(ctx, id)
	}
	return c.mail.RetryQueued(ctx, id)
}

func settings(ctx context.Context, c *ctl, args []string) error {
	rest, err := c.flags("settings", args, none, -1)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		s, err := c.mail.Settings(ctx)
		if err != nil {
			return err
		}
		return c.show(s, func(t *tabwriter.Writer) {
			row(t, "hostname", s.Hostname)
			row(t, "timezone", s.Timezone)
			row(t, "smart_host", s.SmartHost)
			row(t, "smart_host_user", s.SmartHostUser)
			row(t, "smart_host_password", map[bool]string{true: "(set)"}[s.SmartHostPasswordSet])
			row(t, "smart_host_any_certificate", s.SmartHostAnyCertificate)
			row(t, "allow_plaintext_login", s.AllowPlaintextLogin)
			row(t, "max_message_size", config.Size(s.MaxMessageSize))
			row(t, "undelete_days", s.UndeleteDays)
		})
	}
	ch, err := change(rest)
	if err != nil {
		return err
	}
	_, err = c.mail.ChangeSettings(ctx, ch)
	return err
}

// change reads NAME=VALUE words.
func change(words []string) (ch mailapi.SettingsChange, err error) {
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return ch, wrong("%q is not NAME=VALUE", w)
		}
		var b bool
		switch name {
		case "smart_host_any_certificate", "allow_plaintext_login":
			if b, err = strconv.ParseBool(value); err != nil {
				return ch, fmt.Errorf("%s must be true or false", name)
			}
		}
		switch name {
		case "hostname":
			ch.Hostname = &value
		case "timezone":
			ch.Timezone = &value
		case "smart_host":
			ch.SmartHost = &value
		case "smart_host_user":
			ch.SmartHostUser = &value
		case "smart_host_password":
			ch.SmartHostPassword = &value
		case "smart_host_any_certificate":
			ch.SmartHostAnyCertificate = &b
		case "allow_plaintext_login":
			ch.AllowPlaintextLogin = &b
		case "undelete_days":
			n, err := strconv.Atoi(value)
			if err != nil {
				return ch, fmt.Errorf("undelete_days must be a number")
			}
			ch.UndeleteDays = &n
		case "max_message_size":
			n, err := config.ParseSize(value)
			if err != nil {
				return ch, fmt.Errorf("max_message_size %w", err)
			}
			octets := int64(n)
			ch.MaxMessageSize = &octets
		default:
			return ch, wrong("there is no setting %q; there are hostname, timezone, smart_host, smart_host_user, smart_host_password, smart_host_any_certificate, allow_plaintext_login, max_message_size, undelete_days", name)
		}
	}
	return ch, nil
}

func check(ctx context.Context, c *ctl, args []string) error {
	var r mailapi.CheckRequest
	if _, err := c.flags("check", args, func(fs *flag.FlagSet) {
		fs.BoolVar(&r.Bodies, "bodies", false, "read every body and compare its hash, and every row of the search indexes")
		fs.BoolVar(&r.Repair, "repair", false, "mend what can be mended, 10,000 problems at a time")
	}, 0); err != nil {
		return err
	}
	var progress func(mailapi.Progress)
	if c.terminal {
		progress = func(p mailapi.Progress) { fmt.Fprintf(c.err, "\r%d of %d records ", p.Done, p.Total) }
	}
	report, err := c.mail.Check(ctx, r, progress)
	if c.terminal {
		fmt.Fprint(c.err, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	return c.showCheck(report, r.Repair)
}

// showCheck prints what a check found, and answers errFound where something is
// wrong that was not mended.
func (c *ctl) showCheck(report *mailapi.CheckReport, repair bool) error {
	err := c.show(report, func(t *tabwriter.Writer) {
		row(t, fmt.Sprintf("%d people, %d mailboxes, %d messages, %d bodies, %d on the way out: %d problems",
			report.Accounts, report.Mailboxes, report.Messages, report.Blobs, report.Queued, int64(len(report.Problems))+report.Unlisted))
		for _, p := range report.Problems {
			mended := ""
			if p.Repaired {
				mended = "mended"
			}
			row(t, p.Where, p.What, mended)
		}
		if report.Unlisted > 0 && repair {
			row(t, fmt.Sprintf("and %d more, not listed: run it again to mend them", report.Unlisted))
		} else if report.Unlisted > 0 {
			row(t, fmt.Sprintf("and %d more, not listed", report.Unlisted))
		}
	})
	if report.Unlisted > 0 || slices.ContainsFunc(report.Problems, func(p mailapi.Problem) bool { return !p.Repaired }) {
		return errors.Join(err, errFound)
	}
	return err
}

// backups runs a command of package backupcmd.
func backups(name string) func(context.Context, *ctl, []string) error {
	return func(ctx context.Context, c *ctl, args []string) error {
		e := backupcmd.Env{Socket: c.socket, In: c.in, Out: c.out, Err: c.err, Terminal: c.terminal}
		return backupcmd.Run(ctx, e, append([]string{name}, args...))
	}
}

func events(ctx context.Context, c *ctl, args []string) error {
	if _, err := c.flags("events", args, none, 0); err != nil {
		return err
	}
	list, err := c.mail.Events(ctx, 0)
	if err != nil {
		return err
	}
	return c.show(list, func(t *tabwriter.Writer) {
		for _, e := range list {
			row(t, stamp(e.Time), e.Level, e.Text)
		}
	})
}

func services(ctx context.Context, c *ctl, args []string) error {
	if _, err := c.flags("services", args, none, 0); err != nil {
		return err
	}
	list, err := c.init.Services(ctx)
	if err != nil {
		return err
	}
	return c.show(list, func(t *tabwriter.Writer) {
		row(t, "SERVICE", "STATE", "PID", "RESTARTS", "SINCE", "LAST EXIT")
		for _, s := range list {
			row(t, s.Name, s.State, s.PID, s.Restarts, stamp(s.Since), s.LastExit)
		}
	})
}

func log(ctx context.Context, c *ctl, args []string) error {
	q := initapi.LogQuery{Lines: logLines}
	rest, err := c.flags("log", args, func(fs *flag.FlagSet) {
		fs.BoolVar(&q.Follow, "follow", false, "go on with lines as they come")
		fs.BoolVar(&q.Follow, "f", false, "the same")
		fs.IntVar(&q.Lines, "n", logLines, "at most so many `lines` of what is there; 0 for all")
		fs.StringVar(&q.Contains, "grep", "", "only lines with this `text`")
		fs.BoolVar(&q.Stored, "stored", false, "from the disk, earlier starts of the box included; needs SERVICE")
	}, -1)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return wrong("takes one service, not %d", len(rest))
	}
	q.Service = strings.Join(rest, "")
	enc := json.NewEncoder(c.out)
	return c.init.StreamLog(ctx, q, func(i initapi.LogItem) error {
		switch {
		case c.json:
			return enc.Encode(i)
		case i.Missed > 0:
			_, err := fmt.Fprintf(c.out, "(%d lines came too fast to be shown)\n", i.Missed)
			return err
		}
		_, err := fmt.Fprintf(c.out, "%s  %-8s  %s\n", stamp(i.Time), i.Service, i.Text)
		return err
	})
}

func factoryReset(ctx context.Context, c *ctl, args []string) error {
	var yes bool
	rest, err := c.flags("factory-reset", args, func(fs *flag.FlagSet) { fs.BoolVar(&yes, "yes", false, "do not ask") }, 1)
	if err != nil {
		return err
	}
	if err := c.confirmed("Remove all settings and all mail of "+rest[0]+"?", yes); err != nil {
		return err
	}
	return c.box.FactoryReset(ctx, boxapi.ResetRequest{Hostname: rest[0]})
}

func powerOff(ctx context.Context, c *ctl, args []string) error {
	if _, err := c.flags("poweroff", args, none, 0); err != nil {
		return err
	}
	return c.box.PowerOff(ctx, boxapi.StopRequest{Reason: reason})
}

func reboot(ctx context.Context, c *ctl, args []string) error {
	if _, err := c.flags("reboot", args, none, 0); err != nil {
		return err
	}
	return c.box.Reboot(ctx, boxapi.StopRequest{Reason: reason})
}

// interfaceLine is an interface's addresses, and what it is made of.
func interfaceLine(i boxapi.Interface) string {
	line := strings.Join(i.Addresses, " ")
	switch {
	case i.Bond != "":
		line += " (" + i.Bond + " bond of " + strings.Join(i.Parts, " and ") + ")"
	case i.VLAN != 0:
		line += fmt.Sprintf(" (VLAN %d on %s)", i.VLAN, strings.Join(i.Parts, " "))
	}
	if !i.Link {
		line += " no cable or no link"
	}
	return strings.TrimSpace(line)
}
