package main

import (
	"context"
	"text/tabwriter"
)

// firewall shows what the firewall does, after it has set from where the box may
// be managed where args say so: networks, or "local" for private ones alone.
func firewall(ctx context.Context, c *ctl, args []string) error {
	args, err := c.flags("firewall", args, none, -1)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		s, err := c.box.Settings(ctx)
		if err != nil {
			return err
		}
		if s.Administration = args; len(args) == 1 && args[0] == "local" {
			s.Administration = nil
		}
		if _, err := c.box.SetSettings(ctx, *s); err != nil {
			return err
		}
	}
	f, err := c.box.Firewall(ctx)
	if err != nil {
		return err
	}
	return c.show(f, func(t *tabwriter.Writer) {
		for _, n := range f.Administration {
			row(t, "may be managed from", n)
		}
		for _, l := range f.Limited {
			row(t, "was limited", l.Source, l.Dropped, "attempts, last "+stamp(l.Last))
		}
	})
}
