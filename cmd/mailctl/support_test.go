package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/mailapi"
)

// fakeBox is a box whose port 25 is shut, and whose bundle may break off.
type fakeBox struct {
	boxapi.Service
	reset  string
	broken error
}

func (f *fakeBox) TestNetwork(_ context.Context, r boxapi.TestRequest) (*boxapi.NetworkTest, error) {
	return &boxapi.NetworkTest{Test: r.Test, OK: r.Test != boxapi.TestPort25, Detail: "seen"}, nil
}

func (f *fakeBox) SupportBundle(_ context.Context, r boxapi.SupportRequest, w io.Writer) error {
	_, err := io.WriteString(w, "about "+r.Message)
	return errors.Join(err, f.broken)
}

func (f *fakeBox) FactoryReset(_ context.Context, r boxapi.ResetRequest) error {
	f.reset = r.Hostname
	return nil
}

type fakeMail struct{ mailapi.Service }

func (fakeMail) Trace(_ context.Context, about string) ([]mailapi.TracedMessage, error) {
	if about != "ann@example.org" {
		return nil, nil
	}
	when := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	to := []mailapi.StepRecipient{{Address: "x@other.example"}}
	return []mailapi.TracedMessage{{ID: "0123456789abcdef", Steps: []mailapi.Step{
		{Kind: "accepted", Time: when, Sender: "ann@example.org", Size: 1234, Recipients: to},
		{Kind: "sent", Time: when, Host: "mx.other.example", Reply: "250 ok", Recipients: to},
	}}}, nil
}

func TestWhenSomethingIsWrong(t *testing.T) {
	box := &fakeBox{}
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		c := &ctl{box: box, mail: fakeMail{}, in: strings.NewReader(""), out: &out, err: &out}
		return c.run(t.Context(), args), out.String()
	}
	file := filepath.Join(t.TempDir(), "bundle")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"network-test"}, exitFound, "port25   BAD   seen"},
		{[]string{"trace", "ann@example.org"}, exitOK, "mx.other.example 250 ok"},
		{[]string{"trace", "nobody@example.org"}, exitFailed, "nothing is known of nobody@example.org"},
		{[]string{"support-bundle", "-"}, exitOK, "about "},
		{[]string{"support-bundle", "--message", "m", file}, exitOK, ""},
		{[]string{"support-bundle", file}, exitFailed, "exists"},
		{[]string{"factory-reset", "mail.example.org"}, exitFailed, "say --yes"},
		{[]string{"factory-reset", "mail.example.org", "--yes"}, exitOK, ""},
	} {
		if code, out := run(tt.args...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%v: exit code %d, %q; want %d, %q", tt.args, code, out, tt.code, tt.want)
		}
	}
	if raw, err := os.ReadFile(file); err != nil || string(raw) != "about m" {
		t.Errorf("the bundle: %q, %v", raw, err)
	}
	if box.reset != "mail.example.org" {
		t.Errorf("reset %q", box.reset)
	}
	box.broken = errors.New("broken")
	half := file + ".half"
	if code, _ := run("support-bundle", half); code != exitFailed {
		t.Errorf("a bundle that breaks off: exit code %d", code)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("half a bundle stays: %v", err)
	}
}

func TestStatusSaysWhichDisk(t *testing.T) {
	system := boxapi.Disk{Name: "sda", Model: "Stick", Bus: "USB", Size: 32e9, Role: boxapi.RoleSystem}
	mail := boxapi.Disk{Name: "sdb", Model: "SSD", Serial: "S1", Size: 5e11, Role: boxapi.RoleMail}
	for _, tt := range []struct {
		disks []boxapi.Disk
		want  string
	}{
		{nil, ""},
		{[]boxapi.Disk{{Name: "sdc"}, system}, "the system disk sda, Stick, USB, "},
		{[]boxapi.Disk{system, mail}, "the disk sdb, SSD, S1, "},
		{[]boxapi.Disk{mail, system}, "the disk sdb, SSD, S1, "},
	} {
		if got := mailDisk(tt.disks); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", tt.disks, got, tt.want)
		}
	}
}
