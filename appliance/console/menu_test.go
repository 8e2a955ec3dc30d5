package console

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

// fakeMail is a maild with one administrator's password and a few people.
// What it does not implement is not to be called.
type fakeMail struct {
	mailapi.Service
	password string
	users    []mailapi.User
	aliases  []mailapi.Alias
	groups   []mailapi.Group
	queue    []mailapi.QueueEntry
	settings mailapi.Settings
	changed  []string
	// certificate, where set, changes the one of the box's own authority.
	certificate func(*mailapi.Certificate)
}

func (f *fakeMail) VerifyAdmin(_ context.Context, l mailapi.AdminLogin) error {
	if l.Password != f.password {
		return &wire.Error{Code: wire.CodeDenied, Message: "The password is wrong."}
	}
	return nil
}
func (f *fakeMail) Users(context.Context) ([]mailapi.User, error) { return f.users, nil }
func (f *fakeMail) AddUser(_ context.Context, u mailapi.NewUser) (*mailapi.User, error) {
	for _, other := range f.users {
		if other.Address == u.Address {
			return nil, wire.Invalid("address", "is in use already")
		}
	}
	f.users = append(f.users, mailapi.User{Address: u.Address, Name: u.Name})
	f.changed = append(f.changed, "add "+u.Address+" "+u.Password)
	return &f.users[len(f.users)-1], nil
}
func (f *fakeMail) RemoveUser(_ context.Context, address string) error {
	if f.users[0].Admin && !slices.ContainsFunc(f.users[1:], func(u mailapi.User) bool { return u.Admin }) {
		return wire.Conflict("somebody has to receive mail for postmaster: let another mailbox get it first")
	}
	f.changed = append(f.changed, "remove "+address)
	f.users = f.users[1:]
	return nil
}
func (f *fakeMail) SetPassword(_ context.Context, address string, p mailapi.Password) error {
	f.changed = append(f.changed, "password "+address+" "+p.Password)
	return nil
}
func (f *fakeMail) Domains(context.Context) ([]mailapi.Domain, error) {
	return []mailapi.Domain{{Name: "example.org"}, {Name: "example.net"}}, nil
}
func (f *fakeMail) Settings(context.Context) (*mailapi.Settings, error) {
	return &f.settings, nil
}
func (f *fakeMail) Queue(context.Context) ([]mailapi.QueueEntry, error) { return f.queue, nil }

type fakeInit struct{ initapi.Service }

func (fakeInit) Services(context.Context) ([]initapi.ServiceStatus, error) {
	return []initapi.ServiceStatus{{Name: "maild", State: "running", Since: time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)}}, nil
}

func (fakeInit) Log(_ context.Context, service string, lines int) (list []initapi.LogLine, err error) {
	for range 40 {
		list = append(list, initapi.LogLine{Time: time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC), Service: "maild", Text: "a line"})
	}
	list = append(list, initapi.LogLine{Service: "maild", Text: "the last line with \x1b[31m an escape"})
	return list, nil
}

type fakeBox struct {
	boxapi.Service
	settings boxapi.Settings
	tried    *boxapi.Network
	reset    string
	stick    string
	backups  []boxapi.StickFile
	restored string
	limited  []boxapi.Limited
}

func (f *fakeBox) Settings(context.Context) (*boxapi.Settings, error) {
	s := f.settings
	return &s, nil
}
func (f *fakeBox) TryNetwork(_ context.Context, n boxapi.Network) error {
	if n.Gateway == "192.0.2.99" {
		return wire.Invalid("network.gateway", "is not in the network of the address")
	}
	f.tried = &n
	return nil
}
func (f *fakeBox) KeepNetwork(context.Context) error {
	f.settings.Network = *f.tried
	return nil
}
func (f *fakeBox) Firewall(context.Context) (*boxapi.Firewall, error) {
	return &boxapi.Firewall{Limited: f.limited}, nil
}
func (f *fakeBox) FactoryReset(_ context.Context, r boxapi.ResetRequest) error {
	f.reset = r.Hostname
	return nil
}
func (f *fakeBox) SetSettings(_ context.Context, s boxapi.Settings) (*boxapi.Settings, error) {
	f.settings = s
	return &s, nil
}

func menuDrive(t *testing.T) (*drive, *fakeMail, *fakeBox) {
	d := newDrive(t, &fake{state: State{Version: "0.1", Hostname: "mail.example.org", SetUp: true, Serving: true}})
	mail := &fakeMail{password: "admin word", settings: mailapi.Settings{SmartHost: "smtp.example.net:587"}, users: []mailapi.User{{Address: "ann@example.org", Name: "Ann", Messages: 3, Used: 12345}}}
	box := &fakeBox{}
	d.m.mail, d.m.box, d.m.init, d.m.health = mail, box, fakeInit{}, &fakeHealth{}
	return d, mail, box
}

type fakeHealth struct {
	healthapi.Service
	settings healthapi.Settings
	known    bool // of the fan
}

func (f *fakeHealth) SetKnown(_ context.Context, k healthapi.Known) error {
	f.known = k.Known && k.ID == "fan"
	return nil
}

func (f *fakeHealth) Status(context.Context) (*healthapi.Status, error) {
	return &healthapi.Status{Level: healthapi.Watch,
		States:   []healthapi.State{{ID: "fan", Level: healthapi.Watch, What: "A fan is slow.", Means: "It may stop.", Do: "Clean it.", Known: f.known}},
		Readings: []healthapi.Reading{{ID: "cpu", Kind: healthapi.Temperature, Name: "processor", Value: 45}}}, nil
}

func (*fakeHealth) History(_ context.Context, id, span string) (points []healthapi.Point, err error) {
	begin := time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)
	for i := range 144 {
		v := float64(i)
		points = append(points, healthapi.Point{Time: begin.Add(time.Duration(i) * 10 * time.Minute), Mean: v, Min: v, Max: v})
	}
	return points, nil
}

func (d *drive) unlock() { d.keys("m", "admin word", "enter", "enter") }

func (d *drive) wants(parts ...string) {
	d.t.Helper()
	s := d.screen()
	for _, p := range parts {
		if !strings.Contains(s, p) {
			d.t.Errorf("%q is not on the screen:\n%s", p, s)
		}
	}
}

func TestMenuIsLocked(t *testing.T) {
	d, mail, _ := menuDrive(t)
	d.keys("m")
	d.expect("menu-locked")
	d.keys("wrong", "enter", "enter")
	d.wants("The password is wrong.")
	d.keys("esc")
	d.wants("ALL WELL")
	d.keys("m", "wrong", "enter", "enter", mail.password, "enter", "enter") // takes the place of the wrong one
	d.expect("menu")
	now := d.m.now()
	d.m.now = func() time.Time { return now.Add(unlockedFor + time.Second) }
	_, cmd := d.m.Update(refresh{})
	d.run(cmd)
	d.wants("ALL WELL")
	d.keys("m")
	d.wants("Locked")
}

// Where the mail service is what is broken, who stands there still learns why.
func TestMenuWithoutTheMailService(t *testing.T) {
	d, _, _ := menuDrive(t)
	f := d.m.backend.(*fake)
	f.state.SetUp, f.state.Serving, f.state.AskAgain, f.state.Silent = false, false, true, []string{"maild"}
	d.run(d.m.readState)
	d.wants("M: menu")
	d.keys("m")
	d.expect("menu-no-mail")
	d.choose("Logs")
	d.choose("maild")
	d.wants("the last line")
	d.run(second(d.m.Update(refresh{})))
	d.wants("the last line")
	// When it is back the password is what opens the menu.
	f.state.SetUp, f.state.Serving, f.state.AskAgain, f.state.Silent = true, true, false, nil
	d.run(d.m.readState)
	d.run(second(d.m.Update(refresh{})))
	d.wants("ALL WELL")
	d.keys("m")
	d.wants("Locked")
}

func TestMailboxesOnTheConsole(t *testing.T) {
	d, mail, _ := menuDrive(t)
	d.unlock()
	d.keys("enter")
	d.expect("menu-mailboxes")
	d.keys("enter", "ann@example.org", "enter", "enter", "a new password", "enter", "a new password", "enter", "enter")
	d.wants("This is in use already.")
	for range len("ann@example.org") {
		d.keys("backspace")
	}
	d.keys("bob@example.org", "enter", "enter", "enter", "enter", "enter")
	d.wants("bob@example.org can be used.")
	d.keys("down", "enter", "enter", "another word", "enter", "another one", "enter")
	d.wants("The two passwords differ.")
	for range len("another one") {
		d.keys("backspace")
	}
	d.keys("another word", "enter", "enter")
	d.wants("ann@example.org has a new password.")
	d.choose("Remove it with all its mail")
	d.keys("bob@example.org", "enter")
	d.wants("This is not the address ann@example.org.")
	for range len("bob@example.org") {
		d.keys("backspace")
	}
	d.keys("ann@example.org", "enter")
	d.expect("menu-remove")
	d.keys("enter")
	d.wants("ann@example.org was removed.")
	want := []string{"add bob@example.org a new password", "password ann@example.org another word", "remove ann@example.org"}
	if got := strings.Join(mail.changed, "; "); got != strings.Join(want, "; ") {
		t.Errorf("done: %s", got)
	}
}

func TestNetworkOnTheConsole(t *testing.T) {
	d, _, box := menuDrive(t)
	d.unlock()
	d.choose("Network and firewall")
	d.choose("Addresses")
	d.wants("automatic (DHCP)")
	d.keys("down", "enter", "192.0.2.10", "enter")
	d.expect("menu-network-wrong")
	d.keys("/24", "enter", "192.0.2.99", "enter", "192.0.2.1 192.0.2.2", "enter", "enter")
	d.wants("This is not in the network of the address.")
	d.keys("backspace", "backspace", "1", "enter", "enter", "enter")
	d.expect("menu-network-keep")
	if box.settings.Network.Mode != "" {
		t.Error("kept before anybody said so")
	}
	d.keys("enter")
	d.wants("The network is as you said from now on.")
	n := box.settings.Network
	if n.Mode != boxapi.ModeStatic || n.Address != "192.0.2.10/24" || n.Gateway != "192.0.2.1" || len(n.DNS) != 2 {
		t.Errorf("the network is %+v", n)
	}
}

// Who types a whole address before the domain that stands there means that address.
func TestAWholeAddressBeforeTheDomain(t *testing.T) {
	for typed, want := range map[string]string{"ann": "ann@example.org", "ann@example.org": "ann@example.org", "ann@example.com": "ann@example.com", "": "@example.org"} {
		f := newField(field{id: "address"}, "")
		f.proposeDomain("example.org")
		f.input.SetValue(typed + f.input.Value())
		if got := f.value(); got != want {
			t.Errorf("%q before the domain is %q, want %q", typed, got, want)
		}
	}
}

// Name servers that are asked instead of the lease's are not forgotten.
func TestNetworkKeepsItsNameServers(t *testing.T) {
	d, _, box := menuDrive(t)
	box.settings.Network = boxapi.Network{Mode: boxapi.ModeDHCP, DNS: []string{"192.0.2.53"}, MTU: 1400}
	d.unlock()
	d.choose("Network and firewall")
	d.choose("Addresses")
	d.keys("enter", "enter", "enter")
	if n := box.settings.Network; !slices.Equal(n.DNS, []string{"192.0.2.53"}) || n.MTU != 1400 || box.tried == nil {
		t.Errorf("%+v", n)
	}
}

func TestTimeServersOnTheConsole(t *testing.T) {
	d, _, box := menuDrive(t)
	box.settings.Timezone = "Europe/Berlin"
	d.unlock()
	d.choose("Network and firewall")
	d.choose("Time servers and search domains")
	d.keys("ntp.example.org 192.0.2.1", "enter", "example.org", "enter", "enter")
	if s := box.settings; !slices.Equal(s.NTP, []string{"ntp.example.org", "192.0.2.1"}) || !slices.Equal(s.Network.Search, []string{"example.org"}) || s.Timezone != "Europe/Berlin" {
		t.Errorf("%+v", s)
	}
	d.wants("Test the network")
}

func TestFirewallOnTheConsole(t *testing.T) {
	d, _, box := menuDrive(t)
	box.settings.Hostname = "mail.example.org"
	d.unlock()
	d.choose("Network and firewall")
	d.choose("Firewall")
	d.wants("Nobody opened too many connections")
	d.keys("esc")
	box.limited = []boxapi.Limited{{Source: "198.51.100.7/32", Dropped: 42}}
	d.choose("Firewall")
	d.keys("192.168.1.0/24 office", "enter", "enter")
	d.expect("menu-firewall-wrong")
	d.press(len("office"), "backspace")
	d.keys("2001:db8::/48", "enter", "enter")
	d.wants("The box is managed from these networks from now on.")
	if s := box.settings; s.Hostname != "mail.example.org" || !slices.Equal(s.Administration, []string{"192.168.1.0/24", "2001:db8::/48"}) {
		t.Errorf("the settings are %+v", s)
	}
}

func TestLogsOnTheConsole(t *testing.T) {
	d, _, _ := menuDrive(t)
	d.unlock()
	d.choose("Logs")
	d.choose("maild")
	d.expect("menu-log")
	d.keys("/", "LAST", "x", "backspace", "enter")
	d.expect("menu-log-found")
	d.keys("/", "esc")
	d.expect("menu-log")
	if strings.Contains(d.screen(), "\x1b") {
		t.Error("an escape of a log line reached the terminal")
	}
}

func TestSetUpThroughTheDaemons(t *testing.T) {
	var steps []string
	mail := &setUpMail{steps: &steps}
	box := &fakeBox{settings: boxapi.Settings{NTP: []string{"ntp.example.org"}}}
	s := &Sockets{Mail: mail, Box: box}
	a := Answers{Hostname: "mail.example.org", Domain: "example.org", AdminPassword: "admin word", Mailbox: "ann@example.org", Password: "ann's word",
		TimeZone: "Europe/Berlin", SmartHost: "smtp.example.net:587", SmartHostUser: "ann", SmartHostPassword: "word", PublicCertificate: true, CertificateEmail: "ann@example.net"}
	var told []SetUpStep
	if err := s.SetUp(t.Context(), a, func(s SetUpStep) { told = append(told, s) }); err != nil {
		t.Fatal(err)
	}
	if box.settings.Hostname != "mail.example.org" || box.settings.Timezone != "Europe/Berlin" || len(box.settings.NTP) != 1 {
		t.Errorf("the box is %+v", box.settings)
	}
	if want := (mailapi.CertificateChoice{Mode: mailapi.CertificateACME, Email: "ann@example.net"}); mail.certificate != want {
		t.Errorf("the certificate is %+v", mail.certificate)
	}
	if !slices.Equal(told, []SetUpStep{StepMachine, StepSending, StepMail}) {
		t.Errorf("told of the steps %v", told)
	}
	if strings.Join(steps, " ") != "smart host smtp.example.net:587 setup ann@example.org" {
		t.Errorf("steps: %v", steps)
	}
	mail.refuse = wire.Invalid("first_user.password", "must not be the name")
	var fe *FieldError
	if err := s.SetUp(t.Context(), a, func(SetUpStep) {}); !errors.As(err, &fe) || fe.Field != "mailbox_password" {
		t.Errorf("a refused password is %v", err)
	}
}

type setUpMail struct {
	mailapi.Service
	steps  *[]string
	refuse error

	certificate mailapi.CertificateChoice
}

func (f *setUpMail) ChangeSettings(_ context.Context, c mailapi.SettingsChange) (*mailapi.Settings, error) {
	*f.steps = append(*f.steps, "smart host "+*c.SmartHost)
	return &mailapi.Settings{}, nil
}

func (f *setUpMail) Setup(_ context.Context, s mailapi.Setup) error {
	*f.steps = append(*f.steps, "setup "+s.FirstUser.Address)
	f.certificate = *s.Certificate
	return f.refuse
}

func TestHealthOnTheConsole(t *testing.T) {
	d, _, _ := menuDrive(t)
	d.unlock()
	d.choose("Health")
	d.wants("! A fan is slow.", "processor", "45 °C")
	d.keys("enter")
	d.wants("What to do:", "Clean it.")
	d.expect("menu-state")
	d.keys("down", "enter")
	d.wants("  A fan is slow.", "known")
	d.keys("enter", "down", "enter")
	d.wants("! A fan is slow.")
	d.keys("down", "enter")
	d.expect("menu-graph")
}

// Who asks why mail waits reads the whole answer.
func TestWaitingMailSaysWhy(t *testing.T) {
	d, mail, _ := menuDrive(t)
	created := time.Date(2026, 3, 4, 8, 0, 0, 0, time.UTC)
	mail.queue = []mailapi.QueueEntry{{ID: 7, Sender: "ann@example.org", Recipient: "someone@department.example.net", Size: 4321, Created: created, Due: created.Add(3 * time.Hour),
		LastError: "mx.example.net: 451 4.7.1 Greylisting in action, please come back later; see https://example.net/postmaster/greylisting"}}
	d.unlock()
	d.choose("Mail waiting to go out")
	d.wants("someone@department.example.net     since 2026-03-04 08:00")
	d.keys("enter")
	d.expect("menu-queued")
	d.choose("Try it now")
	d.wants("It is being tried now.")
	mail.done(t, "retry 7")
}
