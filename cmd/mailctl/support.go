package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/mailapi"
)

// networkTest makes the tests of the network one after the other.
func networkTest(ctx context.Context, c *ctl, args []string) error {
	if _, err := c.flags("network-test", args, none, 0); err != nil {
		return err
	}
	var list []boxapi.NetworkTest
	var failed error
	for _, name := range boxapi.NetworkTests() {
		r, err := c.box.TestNetwork(ctx, boxapi.TestRequest{Test: name})
		if err != nil {
			return err
		}
		if !r.OK {
			failed = errFound
		}
		list = append(list, *r)
	}
	err := c.show(list, func(t *tabwriter.Writer) {
		for _, r := range list {
			state := "BAD"
			if r.OK {
				state = "good"
			}
			row(t, r.Test, state, r.Detail)
		}
	})
	return errors.Join(err, failed)
}

// traceMail tells what happened to messages.
func traceMail(ctx context.Context, c *ctl, args []string) error {
	rest, err := c.flags("trace", args, none, 1)
	if err != nil {
		return err
	}
	list, err := c.mail.Trace(ctx, rest[0])
	if err != nil {
		return err
	}
	if len(list) == 0 && !c.json {
		return fmt.Errorf("nothing is known of %s", rest[0])
	}
	return c.show(list, func(t *tabwriter.Writer) {
		row(t, "MESSAGE", "TIME", "WHAT", "WHO", "DETAIL")
		for _, m := range list {
			for _, s := range m.Steps {
				row(t, m.ID, stamp(s.Time), s.Kind, who(s), detail(s))
			}
		}
	})
}

// who is between whom a step was.
func who(s mailapi.Step) string {
	var to []string
	for _, r := range s.Recipients {
		to = append(to, r.Address)
	}
	if s.Kind != "accepted" {
		return strings.Join(to, " ")
	}
	return "<" + s.Sender + "> to " + strings.Join(to, " ")
}

func detail(s mailapi.Step) string {
	if s.Kind != "accepted" {
		return strings.TrimSpace(s.Host + " " + s.Reply)
	}
	return strings.TrimSpace(strings.Join([]string{size(s.Size), s.Protocol, cmp.Or(s.User, s.Remote)}, " "))
}

func supportBundle(ctx context.Context, c *ctl, args []string) (err error) {
	var r boxapi.SupportRequest
	rest, err := c.flags("support-bundle", args, func(fs *flag.FlagSet) {
		fs.StringVar(&r.Message, "message", "", "`ID` or Message-ID of a message, or an address, whose trace goes in")
	}, 1)
	if err != nil {
		return err
	}
	if rest[0] == "-" {
		return c.box.SupportBundle(ctx, r, c.out)
	}
	f, err := os.OpenFile(rest[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(rest[0])) // half of it helps nobody
		}
	}()
	return c.box.SupportBundle(ctx, r, f)
}
