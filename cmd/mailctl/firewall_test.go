package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/wire"
)

// guardedBox is a box that has limited one source.
type guardedBox struct {
	boxapi.Service
	settings boxapi.Settings
	tried    *boxapi.Network
}

func (f *guardedBox) Settings(context.Context) (*boxapi.Settings, error) {
	s := f.settings
	return &s, nil
}

func (f *guardedBox) SetSettings(_ context.Context, s boxapi.Settings) (*boxapi.Settings, error) {
	if len(s.Administration) > 0 && s.Administration[0] == "office" {
		return nil, wire.Invalid("administration", "must be a network")
	}
	f.settings = s
	return &s, nil
}

func (f *guardedBox) Firewall(context.Context) (*boxapi.Firewall, error) {
	return &boxapi.Firewall{
		Administration: append([]string{"(local)"}, f.settings.Administration...),
		Limited:        []boxapi.Limited{{Source: "198.51.100.7/32", Dropped: 42, Last: time.Now()}},
	}, nil
}

func TestFirewall(t *testing.T) {
	box := &guardedBox{settings: boxapi.Settings{Hostname: "mail.example.org"}}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"firewall", exitOK, "was limited          198.51.100.7/32   42   attempts"},
		{"firewall 192.0.2.0/24 2001:db8::/64", exitOK, "may be managed from   2001:db8::/64"},
		{"firewall office", exitFailed, "must be a network"},
		{"firewall --nonsense", exitUsage, "nonsense"},
		{"firewall local", exitOK, "(local)"},
	} {
		var out bytes.Buffer
		c := &ctl{box: box, in: strings.NewReader(""), out: &out, err: &out}
		if code := c.run(t.Context(), strings.Fields(tt.args)); code != tt.code || !strings.Contains(squeeze(out.String()), squeeze(tt.want)) {
			t.Errorf("%s: exit code %d, %q; want %d, %q", tt.args, code, out.String(), tt.code, tt.want)
		}
	}
	if s := box.settings; s.Hostname != "mail.example.org" || s.Administration != nil {
		t.Errorf("the settings are %+v", s)
	}
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }
