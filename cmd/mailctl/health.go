package main

import (
	"context"
	"flag"
	"text/tabwriter"

	"pillarbox/appliance/api/healthapi"
)

func health(ctx context.Context, c *ctl, args []string) error {
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
			row(t, word, st.What+" "+st.Means+" "+st.Do, "since "+stamp(st.Since))
		}
		if all {
			for _, r := range s.Readings {
				row(t, r.Kind, r.Name, r.Value)
			}
		}
	})
	if err == nil && s.Level == healthapi.Bad {
		return errFound
	}
	return err
}
