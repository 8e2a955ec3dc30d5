package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pelletier/go-toml/v2"

	"pillarbox/appliance/config"
)

// network shows how the box gets its addresses as a file has it, puts the
// network of such a file in force for two minutes, or keeps what is in force.
// It is the way to bonds and VLANs on a box that runs, and from one that cuts the
// box off the way back is to wait.
func network(ctx context.Context, c *ctl, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "try":
			rest, err := c.flags("network try", args[1:], none, 1)
			if err != nil {
				return err
			}
			return tryNetwork(ctx, c, rest[0])
		case "keep":
			if _, err := c.flags("network keep", args[1:], none, 0); err != nil {
				return err
			}
			return c.box.KeepNetwork(ctx)
		}
	}
	if _, err := c.flags("network", args, none, 0); err != nil {
		return err
	}
	return showNetwork(ctx, c)
}

// networkFile is the part of a provisioning file.
type networkFile struct {
	Network config.Network `toml:"network"`
}

func showNetwork(ctx context.Context, c *ctl) error {
	s, err := c.box.Settings(ctx)
	if err != nil {
		return err
	}
	if c.json {
		return c.show(s.Network, nil)
	}
	raw, err := toml.Marshal(networkFile{s.Network})
	if err == nil {
		_, err = c.out.Write(raw)
	}
	return err
}

func tryNetwork(ctx context.Context, c *ctl, path string) error {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(c.in)
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return err
	}
	p, err := config.ParseProvision(raw)
	if err != nil {
		return err
	}
	if !p.Network.Given() {
		return errors.New("the file has no [network]")
	}
	if len(p.Network.NTP) > 0 {
		return errors.New("time servers are not tried: set them in the menu, or leave ntp out here")
	}
	if err := c.box.TryNetwork(ctx, p.Network.Network); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.err, "It is in force for two minutes. mailctl network keep keeps it; else the box goes back to what it was.")
	return err
}
