package console

import (
	"context"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

func (f *fakeBox) SupportToStick(_ context.Context, r boxapi.SupportRequest) (*boxapi.StickFile, error) {
	if f.stick == "" {
		return nil, wire.NotFound("there is no USB stick with a FAT file system in the box")
	}
	return &boxapi.StickFile{Stick: f.stick, Name: "bundle-" + r.Message, Size: 123456}, nil
}

func (f *fakeMail) Trace(_ context.Context, about string) ([]mailapi.TracedMessage, error) {
	if about != "ann@example.org" {
		return nil, nil
	}
	when := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	return []mailapi.TracedMessage{{ID: "0123456789abcdef", Steps: []mailapi.Step{
		{Kind: "accepted", Time: when, Sender: "ann@example.org", Size: 1234,
			Recipients: []mailapi.StepRecipient{{Address: "bob@example.org", Mailboxes: 1}, {Address: "x@other.example", Queued: []string{"x@other.example"}}}},
		{Kind: "deferred", Time: when.Add(time.Minute), Host: "mx.other.example", Reply: "451 4.7.1 try again later",
			Recipients: []mailapi.StepRecipient{{Address: "x@other.example"}}},
	}}}, nil
}

func TestSupportBundleOnTheConsole(t *testing.T) {
	d, _, box := menuDrive(t)
	d.unlock()
	d.choose("Support bundle to a USB stick")
	d.keys("ann@example.org", "enter", "enter")
	d.expect("menu-support-no-stick")
	box.stick = "sdb"
	d.keys("enter")
	d.wants("bundle-ann@example.org (123 kB) is on the stick", "Menu")
}

func TestTraceOnTheConsole(t *testing.T) {
	d, _, _ := menuDrive(t)
	d.unlock()
	d.choose("What happened to a message")
	d.keys("nobody@example.org", "enter", "enter")
	d.wants("Nothing is known of it.")
	d.keys("esc", "shift+tab")
	d.press(len("nobody@example.org"), "backspace")
	d.keys("ann@example.org", "enter", "enter")
	d.expect("menu-trace")
}
