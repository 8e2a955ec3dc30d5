package console

import (
	"context"
	"testing"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/wire"
)

func (f *fakeHealth) Settings(context.Context) (*healthapi.Settings, error) {
	s := f.settings
	return &s, nil
}

func (f *fakeHealth) SetSettings(_ context.Context, s healthapi.Settings) (*healthapi.Settings, error) {
	if s.UPS == "rack" {
		return nil, wire.Invalid("ups", "must be the name of a UPS and its server such as rack@192.0.2.7")
	}
	f.settings = s
	return &s, nil
}

func (f *fakeHealth) Test(context.Context) ([]healthapi.Told, error) {
	return []healthapi.Told{{Way: "mail"}, {Way: "relay", Error: "mail to ann@elsewhere.example: no route"}}, nil
}

func TestAlertsOnTheConsole(t *testing.T) {
	d, _, _ := menuDrive(t)
	health := d.m.health.(*fakeHealth)
	d.unlock()
	d.choose("Alerts")
	d.expect("menu-alerts")
	want := healthapi.Settings{}
	step := func(what string, change func(*healthapi.Settings)) {
		t.Helper()
		if change(&want); health.settings != want {
			t.Errorf("%s: %+v, want %+v", what, health.settings, want)
		}
	}
	d.keys("enter")
	d.wants("Mail to the postmaster             no")
	step("no mail", func(s *healthapi.Settings) { s.NoMail = true })
	d.keys("enter", "down", "enter")
	step("weekly", func(s *healthapi.Settings) { s.NoMail, s.Weekly = false, true })

	d.choose("Mail to an address elsewhere")
	d.keys("ann@elsewhere.example", "enter", "smtp.example.net:587", "enter", "box", "enter", "s3cret", "enter")
	d.expect("menu-alerts-elsewhere")
	d.keys("enter")
	step("elsewhere", func(s *healthapi.Settings) {
		s.MailTo, s.SmartHost, s.SmartHostUser, s.SmartHostPassword = "ann@elsewhere.example", "smtp.example.net:587", "box", "s3cret"
	})
	d.wants("ann@elsewhere.example")

	d.choose("UPS")
	d.keys("rack", "enter", "enter")
	d.wants("This must be the name of a UPS and its server")
	d.keys("@192.0.2.7", "enter", "enter")
	step("UPS", func(s *healthapi.Settings) { s.UPS = "rack@192.0.2.7" })

	d.choose("Log server")
	d.keys("udp://192.0.2.8:514", "enter", "enter")
	step("log server", func(s *healthapi.Settings) { s.Syslog = "udp://192.0.2.8:514" })

	d.choose("Metrics on port 9100")
	step("metrics", func(s *healthapi.Settings) { s.Metrics = true })

	d.choose("Send a test")
	d.wants("Mail to the postmaster             sent", "Mail to an address elsewhere       mail to ann@elsewhere.example: no route")
}
