package health

import (
	"context"
	"errors"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/mailapi"
)

func TestSilence(t *testing.T) {
	var d daemons
	d.silentSince = map[string]time.Time{}
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	refused := errors.New("connection refused")
	for _, step := range []struct {
		after time.Duration
		err   error
		want  healthapi.Level
	}{
		{0, refused, healthapi.OK}, // it is starting
		{silenceBad - time.Second, refused, healthapi.OK},
		{silenceBad, refused, healthapi.Bad},
		{silenceBad + time.Second, nil, healthapi.OK},
		{silenceBad + 2*time.Second, refused, healthapi.OK}, // a new silence counts from its own beginning
		{2*silenceBad + 2*time.Second, refused, healthapi.Bad},
	} {
		f := d.silent("maild", begin.Add(step.after), step.err)
		if f.level != step.want || (f.what == "") != (step.want == healthapi.OK) {
			t.Errorf("after %v, %v: level %v, %q", step.after, step.err, f.level, f.what)
		}
	}
	if f := d.silent("boxd", begin.Add(time.Hour), refused); f.level != healthapi.OK {
		t.Errorf("the silence of one daemon was taken for another's: %+v", f)
	}
}

// certified is a maild with a certificate.
type certified struct {
	mailapi.Service
	certificate mailapi.Certificate
}

func (c *certified) Status(context.Context) (*mailapi.Status, error) {
	return &mailapi.Status{Serving: true}, nil
}
func (c *certified) Certificate(context.Context) (*mailapi.Certificate, error) {
	return &c.certificate, nil
}

// TestCertificate tells of a source that gives no certificate, and of the end of
// the one there is.
func TestCertificate(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	mail := &certified{certificate: mailapi.Certificate{NotAfter: now.Add(10 * 24 * time.Hour)}}
	d := &daemons{mail: mail, silentSince: map[string]time.Time{}, problemSince: map[string]map[string]time.Time{}}
	look := func() (level healthapi.Level, what string, left float64) {
		readings, found := d.readMail(t.Context(), now)
		for _, r := range readings {
			if r.ID == "mail/certificate" {
				left = r.Value
				if !(left < *r.WatchLow) || left < *r.BadLow {
					t.Errorf("ten days are not between %v and %v seconds", *r.BadLow, *r.WatchLow)
				}
			}
		}
		for _, f := range found {
			if f.id == "mail/certificate/source" {
				level, what = f.level, f.what
			}
		}
		return level, what, left
	}
	if level, what, left := look(); level != healthapi.OK || what != "" || left != 864000 {
		t.Errorf("%v, %q, %v seconds left", level, what, left)
	}
	for days, want := range map[time.Duration][2]time.Duration{90: {14 * 24 * time.Hour, 3 * 24 * time.Hour}, 5: {20 * time.Hour, 4 * time.Hour}} {
		c := &mailapi.Certificate{Source: mailapi.CertificateACME, NotBefore: now, NotAfter: now.Add(days * 24 * time.Hour)}
		if watch, bad := certificateLimits(c); watch != want[0] || bad != want[1] {
			t.Errorf("of %d days %v and %v have to be left", days, watch, bad)
		}
	}
	mail.certificate.Problem = "The imported certificate is missing: the box's own is shown."
	if level, what, _ := look(); level != healthapi.Watch || what != mail.certificate.Problem {
		t.Errorf("%v, %q", level, what)
	}
}
