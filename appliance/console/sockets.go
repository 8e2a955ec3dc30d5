package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

// Sockets is the Backend of the real box: the daemons behind their sockets.
type Sockets struct {
	Init initapi.Service
	Box  boxapi.Service
	Mail mailapi.Service
	// Health may be nil, and may be silent: the others tell what counts.
	Health healthapi.Service

	past pastEvents
}

var _ Backend = (*Sockets)(nil)

// reason stands in the box's log beside a stop asked for here.
const reason = "asked for on the console"

// mailPoll is the time between two looks whether maild is back.
const mailPoll = 300 * time.Millisecond

// State asks all daemons at once: a silent one costs the others nothing.
func (s *Sockets) State(ctx context.Context) (State, error) {
	var (
		all                      sync.WaitGroup
		is                       *initapi.Status
		services                 []initapi.ServiceStatus
		events                   []initapi.Event
		bs                       *boxapi.Status
		ms                       *mailapi.Status
		initErr, boxErr, mailErr error
		hs                       *healthapi.Status
		healthErr                error
	)
	all.Go(func() {
		if is, initErr = s.Init.Status(ctx); initErr != nil {
			return
		}
		if services, initErr = s.Init.Services(ctx); initErr == nil {
			events, initErr = s.Init.Events(ctx)
		}
	})
	all.Go(func() { bs, boxErr = s.Box.Status(ctx) })
	all.Go(func() { ms, mailErr = s.Mail.Status(ctx) })
	all.Go(func() {
		if s.Health != nil {
			hs, healthErr = s.Health.Status(ctx)
		}
	})
	all.Wait()

	var st State
	for _, d := range []struct {
		name string
		err  error
	}{{"init", initErr}, {"boxd", boxErr}, {"maild", mailErr}} {
		if d.err != nil {
			st.Silent = append(st.Silent, d.name)
		}
	}
	if len(st.Silent) == 3 {
		return st, errors.Join(initErr, boxErr, mailErr)
	}
	st.AskAgain = boxErr != nil || mailErr != nil
	if initErr == nil {
		st.Version = is.Version
		st.Problems = append(st.Problems, is.Problems...)
		for _, v := range services {
			st.Services = append(st.Services, Service{Name: v.Name, State: v.State, Restarts: v.Restarts})
		}
		for _, e := range events {
			st.Events = append(st.Events, Event{Time: e.Time, Level: level(e.Level), Text: e.Text})
		}
	}
	if boxErr == nil {
		st.fromBox(bs)
	}
	if healthErr == nil && hs != nil {
		st.fromHealth(hs)
		st.Disks = markFailing(st.Disks, hs.States)
	}
	if mailErr == nil {
		st.fromMail(ms)
	} else if initErr == nil && is.Serving {
		// It served and does not answer: its restart is under way, or it hangs.
		st.MailError = mailErr.Error()
	}
	if initErr == nil {
		st.Events = s.past.add(ctx, s.Init, st.Started, st.Events)
	}
	slices.SortStableFunc(st.Events, func(a, b Event) int { return b.Time.Compare(a.Time) })
	st.Events = st.Events[:min(len(st.Events), keptEvents)]
	return st, nil
}

func (st *State) fromBox(bs *boxapi.Status) {
	st.Version = cmp.Or(st.Version, bs.Version)
	st.Hostname, st.Language, st.Keyboard = bs.Hostname, bs.Language, bs.Keyboard
	st.Clock = Clock{Synced: bs.Clock.Synced, Zone: bs.Timezone}
	st.Disk = Disk{Total: bs.Data.Size, Free: bs.Data.Free}
	st.Disks = bs.Disks
	role := boxapi.RoleSystem
	if slices.ContainsFunc(bs.Disks, func(d boxapi.Disk) bool { return d.Role == boxapi.RoleMail }) {
		role = boxapi.RoleMail
	}
	for _, d := range bs.Disks {
		switch {
		case d.Role == role:
			st.Disk.Name = strings.TrimSpace(d.Model + " " + d.Name)
		case !d.Removable && d.Role == boxapi.RoleOther:
			st.Disk.Others++
		}
	}
	var parts []string // of bonds and VLANs: without an address, and that is as it should be
	for _, i := range bs.Interfaces {
		parts = append(parts, i.Parts...)
	}
	for _, i := range bs.Interfaces {
		if i.Mode == "" && slices.Contains(parts, i.Name) {
			continue
		}
		name := i.Name
		if i.Bond != "" {
			name += " (" + strings.Join(i.Parts, ", ") + ")"
		}
		st.Links = append(st.Links, Link{Name: name, Up: i.Link, Addresses: i.Addresses, Gateway: i.Gateway, DNS: i.DNS})
	}
	for _, p := range bs.Problems {
		if !slices.Contains(st.Problems, p) {
			st.Problems = append(st.Problems, p)
		}
	}
	if bs.Provision.State == boxapi.ProvisionInvalid {
		st.Problems = append(st.Problems, bs.Provision.Error)
	}
}

// fromHealth takes what somebody should look at, and puts first what cannot
// wait. What the daemons said themselves is not said twice.
func (st *State) fromHealth(hs *healthapi.Status) {
	var now []string
	for _, s := range hs.States {
		text := strings.TrimSpace(s.What + " " + s.Do)
		switch {
		case s.Known, strings.HasPrefix(s.ID, "service/"), strings.HasPrefix(s.ID, "mail/disk"), s.ID == "mail/certificate/source", slices.Contains(st.Problems, text):
		case s.Level == healthapi.Bad:
			now = append(now, text)
		default:
			st.Problems = append(st.Problems, text)
		}
	}
	st.Problems = append(now, st.Problems...)
}

func (st *State) fromMail(ms *mailapi.Status) {
	st.SetUp, st.Serving, st.Started = ms.SetupDone, ms.Serving, ms.Started
	st.Mail = MailFigures{Domains: int64(ms.Domains), Mailboxes: int64(ms.Users), Messages: ms.Messages, Queued: ms.Queue.Count}
	if ms.Disk.State != mailapi.DiskOK {
		st.Disk.Trouble = ms.Disk.State
	}
	// The page has room for a few sentences: that no mail is taken is not to be
	// pushed off it by its causes.
	st.Problems = append(slices.Clone(ms.Problems), slices.DeleteFunc(st.Problems, func(p string) bool {
		return slices.Contains(ms.Problems, p)
	})...)
	for _, e := range ms.LastEvents {
		st.Events = append(st.Events, Event{Time: e.Time, Level: level(e.Level), Text: e.Text})
	}
}

// level turns the daemons' levels into the console's.
func level(l string) string {
	switch l {
	case initapi.LevelAlert:
		return "error"
	case initapi.LevelWarn:
		return "warning"
	}
	return l
}

// TimeZones lists the names the box knows.
func (s *Sockets) TimeZones(ctx context.Context) ([]string, error) { return s.Box.Timezones(ctx) }

// SetUp does first what can be done again, naming the machine and the smart
// host, and then maild's part, which is made once and whole.
func (s *Sockets) SetUp(ctx context.Context, a Answers, at func(SetUpStep)) error {
	at(StepMachine)
	err := s.change(ctx, func(b *boxapi.Settings) {
		b.Hostname, b.Timezone, b.Language, b.Keyboard = a.Hostname, a.TimeZone, a.Language, a.Keyboard
	})
	if err != nil {
		return err
	}
	if a.Disk.Name != "" {
		// Before anything of maild's, which begins anew on that disk.
		at(StepDisk)
		if err := refused(s.Box.UseDisk(ctx, a.Disk)); err != nil {
			return err
		}
		if err := s.awaitMail(ctx); err != nil {
			return err
		}
	}
	at(StepSending)
	// Without a smart host too: a try before may have got this far with one.
	c := mailapi.SettingsChange{SmartHost: &a.SmartHost, SmartHostUser: &a.SmartHostUser, SmartHostPassword: &a.SmartHostPassword}
	if _, err := s.Mail.ChangeSettings(ctx, c); err != nil {
		return refused(err)
	}
	at(StepMail)
	certificate := &mailapi.CertificateChoice{Mode: mailapi.CertificateOwn}
	if a.PublicCertificate {
		certificate = &mailapi.CertificateChoice{Mode: mailapi.CertificateACME, Email: a.CertificateEmail}
	}
	return refused(s.Mail.Setup(ctx, mailapi.Setup{
		Certificate: certificate,
		Hostname:    a.Hostname, Domain: a.Domain, AdminAddress: a.Mailbox, AdminPassword: a.AdminPassword, Timezone: a.TimeZone,
		FirstUser: &mailapi.FirstUser{Address: a.Mailbox, Name: a.MailboxName, Password: a.Password},
	}))
}

// awaitMail waits until maild, which was started anew, answers.
func (s *Sockets) awaitMail(ctx context.Context) error {
	t := time.NewTicker(mailPoll)
	defer t.Stop()
	for {
		st, err := s.Mail.Status(ctx)
		if err == nil && st.Serving {
			return nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("the mail service does not come back: %w", cmp.Or(err, ctx.Err()))
		}
	}
}

// change changes the settings of the machine.
func (s *Sockets) change(ctx context.Context, how func(*boxapi.Settings)) error {
	settings, err := s.Box.Settings(ctx)
	if err != nil {
		return err
	}
	how(settings)
	_, err = s.Box.SetSettings(ctx, *settings)
	return refused(err)
}

// Speak keeps a language for all consoles.
func (s *Sockets) Speak(ctx context.Context, language string) error {
	return s.change(ctx, func(b *boxapi.Settings) { b.Language = language })
}

// Type keeps a layout for the keyboard at the screen.
func (s *Sockets) Type(ctx context.Context, keyboard string) error {
	return s.change(ctx, func(b *boxapi.Settings) { b.Keyboard = keyboard })
}

// refused names the question whose answer a daemon did not take.
func refused(err error) error {
	var we *wire.Error
	if !errors.As(err, &we) || we.Code != wire.CodeInvalid {
		return err
	}
	fields := map[string]string{
		"hostname": "hostname", "timezone": "timezone", "language": "language", "keyboard": "keyboard", "domain": "domain",
		"admin_password": "admin_password", "admin_address": "mailbox", "first_user.address": "mailbox",
		"smart_host": "smart_host", "smart_host_user": "smart_host_user", "smart_host_password": "smart_host_password",
		"certificate.email": "certificate_email", "disk": "disk", "first_user.name": "mailbox_name", "first_user.password": "mailbox_password",
	}
	if f, ok := fields[we.Field]; ok {
		return &FieldError{Field: f, Message: we.Message}
	}
	return err
}

// TestNetwork has boxd make a test of the network.
func (s *Sockets) TestNetwork(ctx context.Context, test string) (*boxapi.NetworkTest, error) {
	return s.Box.TestNetwork(ctx, boxapi.TestRequest{Test: test})
}

// PowerOff asks boxd, and init where boxd does not answer.
func (s *Sockets) PowerOff(ctx context.Context) error {
	if s.Box.PowerOff(ctx, boxapi.StopRequest{Reason: reason}) == nil {
		return nil
	}
	return s.Init.PowerOff(ctx, initapi.StopRequest{Reason: reason})
}

// Restart asks boxd, and init where boxd does not answer.
func (s *Sockets) Restart(ctx context.Context) error {
	if s.Box.Reboot(ctx, boxapi.StopRequest{Reason: reason}) == nil {
		return nil
	}
	return s.Init.Reboot(ctx, initapi.StopRequest{Reason: reason})
}

// refusedField is the field a daemon's refusal names, and its text.
func refusedField(err error) (field, message string) {
	var fe *FieldError
	if errors.As(err, &fe) {
		return fe.Field, fe.Message
	}
	var we *wire.Error
	if errors.As(err, &we) {
		return we.Field, we.Message
	}
	return "", err.Error()
}
