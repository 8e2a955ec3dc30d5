package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"strconv"
	"strings"
	"text/tabwriter"

	"pillarbox/appliance/api/healthapi"
)

func health(ctx context.Context, c *ctl, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "settings":
			return healthSettings(ctx, c, args[1:])
		case "known", "unknown":
			return healthKnown(ctx, c, args[0] == "known", args[1:])
		case "test":
			return healthTest(ctx, c, args[1:])
		}
	}
	var all bool
	if _, err := c.flags("health", args, func(fs *flag.FlagSet) {
		fs.BoolVar(&all, "all", false, "show every reading")
	}, 0); err != nil {
		return err
	}
	s, err := c.health.Status(ctx)
	if err != nil {
		return err
	}
	err = c.show(s, func(t *tabwriter.Writer) {
		if len(s.States) == 0 {
			row(t, "all is well")
		}
		for _, st := range s.States {
			word := "look within days"
			if st.Level == healthapi.Bad {
				word = "LOOK NOW"
			}
			if st.Known {
				word = "known"
			}
			row(t, word, st.What+" "+st.Means+" "+st.Do, "since "+stamp(st.Since), st.ID)
		}
		if all {
			w := s.Watchdog
			switch {
			case w.Device == "":
				row(t, "watchdog", "none", "a box that hangs stays so")
			case w.Held != "":
				row(t, "watchdog", w.Identity, "about to restart the box: "+w.Held)
			default:
				row(t, "watchdog", w.Identity, "fed "+stamp(w.Fed))
			}
			for _, r := range s.Readings {
				row(t, r.Kind, r.Name, r.Text())
			}
		}
	})
	if err == nil && s.Level == healthapi.Bad {
		return errFound
	}
	return err
}

// healthSettings shows the monitor's settings, or changes those that are named.
func healthSettings(ctx context.Context, c *ctl, args []string) error {
	args, err := c.flags("health settings", args, none, -1)
	if err != nil {
		return err
	}
	s, err := c.health.Settings(ctx)
	if err != nil {
		return err
	}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return wrong("%q is not NAME=VALUE", arg)
		}
		switches := map[string]*bool{"mail": &s.NoMail, "weekly": &s.Weekly, "light": &s.Light, "speaker": &s.Speaker, "metrics": &s.Metrics}
		texts := map[string]*string{
			"mail-to": &s.MailTo, "smart-host": &s.SmartHost, "smart-host-user": &s.SmartHostUser, "smart-host-password": &s.SmartHostPassword,
			"webhook": &s.Webhook, "ups": &s.UPS, "syslog": &s.Syslog, "syslog-fingerprint": &s.SyslogFingerprint,
		}
		switch on, err := strconv.ParseBool(value); {
		case texts[name] != nil:
			*texts[name] = value
		case switches[name] == nil:
			return unknown(name)
		case err != nil:
			return wrong("%s: %q is neither true nor false", name, value)
		default:
			*switches[name] = on != (name == "mail") // mail is kept as its contrary
		}
	}
	if len(args) > 0 {
		if s, err = c.health.SetSettings(ctx, *s); err != nil {
			return err
		}
	}
	return c.show(s, func(t *tabwriter.Writer) {
		row(t, "mail", !s.NoMail)
		row(t, "mail-to", s.MailTo)
		row(t, "smart-host", s.SmartHost)
		row(t, "smart-host-user", s.SmartHostUser)
		row(t, "smart-host-password", map[bool]string{true: "(set)"}[s.SmartHostPasswordSet])
		row(t, "weekly", s.Weekly)
		row(t, "webhook", s.Webhook)
		row(t, "light", s.Light)
		row(t, "speaker", s.Speaker)
		row(t, "metrics", s.Metrics)
		row(t, "ups", s.UPS)
		row(t, "syslog", s.Syslog)
		row(t, "syslog-fingerprint", s.SyslogFingerprint)
	})
}

// healthKnown says of a state that somebody knows of it, or not any more.
func healthKnown(ctx context.Context, c *ctl, known bool, args []string) error {
	args, err := c.flags("health known", args, none, 1)
	if err != nil {
		return err
	}
	return c.health.SetKnown(ctx, healthapi.Known{ID: args[0], Known: known})
}

// healthTest has the box tell by each way it is set to, and shows what came of it.
func healthTest(ctx context.Context, c *ctl, args []string) error {
	if _, err := c.flags("health test", args, none, 0); err != nil {
		return err
	}
	told, err := c.health.Test(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, t := range told {
		if t.Error != "" {
			failed = errFound
		}
	}
	err = c.show(told, func(t *tabwriter.Writer) {
		if len(told) == 0 {
			row(t, "nobody is told of anything")
		}
		for _, way := range told {
			row(t, way.Way, cmp.Or(way.Error, "sent"))
		}
	})
	return errors.Join(err, failed)
}
