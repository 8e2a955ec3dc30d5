package console

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"pillarbox/appliance/api/boxapi"
)

var update = flag.Bool("update", false, "write the screens under testdata anew")

// fake is a box that does as it is told.
type fake struct {
	tests   map[string]string // those that fail, and why
	state   State
	stateEr error
	setUp   func(Answers) error
	got     []Answers
	off     int
}

func (f *fake) State(context.Context) (State, error) { return f.state, f.stateEr }
func (f *fake) TimeZones(context.Context) ([]string, error) {
	return []string{"UTC", "America/New_York", "Asia/Tokyo", "Europe/Berlin", "Europe/London", "Europe/Paris"}, nil
}
func (f *fake) SetUp(_ context.Context, a Answers, at func(SetUpStep)) error {
	f.got = append(f.got, a)
	for step := range setUpSteps {
		at(step)
	}
	if f.setUp != nil {
		if err := f.setUp(a); err != nil {
			return err
		}
	}
	f.state.SetUp = true
	return nil
}
func (f *fake) PowerOff(context.Context) error { f.off++; return nil }
func (f *fake) TestNetwork(_ context.Context, test string) (*boxapi.NetworkTest, error) {
	if why, ok := f.tests[test]; ok {
		return &boxapi.NetworkTest{Test: test, Detail: why}, nil
	}
	details := map[string]string{boxapi.TestLink: "enp0s3 (1000 Mbit/s)", boxapi.TestAddress: "10.0.2.15/24", boxapi.TestGateway: "10.0.2.2",
		boxapi.TestDNS: "10.0.2.3", boxapi.TestTime: "ntp.example.org, +0.012 s", boxapi.TestPort25: "mx.example.org"}
	return &boxapi.NetworkTest{Test: test, OK: true, Detail: details[test]}, nil
}
func (f *fake) Speak(_ context.Context, language string) error {
	f.state.Language = language
	return nil
}
func (f *fake) Type(_ context.Context, keyboard string) error {
	f.state.Keyboard = keyboard
	return nil
}
func (f *fake) Restart(context.Context) error { return errors.New("init does not answer") }

// drive runs a console without a terminal: keys in, screens out.
type drive struct {
	t *testing.T
	m *model
}

func newDrive(t *testing.T, f *fake) *drive {
	t.Helper()
	now := time.Date(2026, 3, 4, 10, 20, 30, 0, time.UTC)
	m, err := newModel(t.Context(), Config{Serial: true, Backend: f, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	m.tick = func() tea.Cmd { return nil } // the tests refresh by hand
	d := &drive{t, m}
	d.run(m.Init())
	return d
}

// run carries out commands as the program would, but for the ticking of the clock.
func (d *drive) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	msg := cmd()
	if batch, ok := msg.(tea.BatchMsg); ok {
		for _, c := range batch {
			d.run(c)
		}
		return
	}
	if msg == nil {
		return
	}
	_, next := d.m.Update(msg)
	d.run(next)
}

func (d *drive) keys(keys ...string) {
	special := map[string]rune{"home": tea.KeyHome, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown, "backspace": tea.KeyBackspace}
	for _, k := range keys {
		if code, ok := special[k]; ok {
			d.run(second(d.m.Update(tea.KeyPressMsg{Code: code})))
			continue
		}
		if k == "shift+tab" {
			d.run(second(d.m.Update(tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift})))
			continue
		}
		for _, r := range k {
			d.run(second(d.m.Update(tea.KeyPressMsg{Code: r, Text: string(r)})))
		}
	}
}

func (d *drive) press(times int, key string) {
	for range times {
		d.keys(key)
	}
}

func second(_ tea.Model, cmd tea.Cmd) tea.Cmd { return cmd }

func (d *drive) screen() string {
	var lines []string
	for _, l := range strings.Split(ansi.Strip(d.m.View().Content), "\n") {
		lines = append(lines, strings.TrimRight(l, " "))
	}
	return strings.Join(lines, "\n") + "\n"
}

// expect compares the screen with the file of that name.
func (d *drive) expect(name string) {
	d.t.Helper()
	got := d.screen()
	if n := strings.Count(got, "\n"); n != d.m.height {
		d.t.Errorf("%s: %d lines on a screen of %d", name, n, d.m.height)
	}
	for _, l := range strings.Split(got, "\n") {
		if strings.ContainsRune(l, '\x1b') {
			d.t.Errorf("%s: an escape is on the screen: %q", name, l)
		}
		if w := ansi.StringWidth(l); w > d.m.width {
			d.t.Errorf("%s: a line of %d columns: %q", name, w, l)
		}
	}
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if got != string(want) {
		d.t.Errorf("%s: the screen is\n%s\nwant\n%s", name, got, want)
	}
}

func freshBox() *fake {
	return &fake{state: State{Version: "0.1", Hostname: "pillarbox", Serving: true, Disk: Disk{Total: 500e9, Free: 499e9, Name: "ACME SSD 7 sda", Others: 1},
		Links: []Link{{Name: "enp0s3", Up: true, Addresses: []string{"10.0.2.15/24", "fe80::1/64"}, Gateway: "10.0.2.2", DNS: []string{"10.0.2.3"}}}}}
}

// Whoever passes by the time zone has that of the language.
func TestTimeZoneIsProposed(t *testing.T) {
	d := newDrive(t, freshBox())
	for _, want := range []string{"UTC", "Europe/Berlin", "Europe/Paris"} {
		if got := d.m.wizard.answers().TimeZone; got != want {
			t.Errorf("%s is proposed, want %s", got, want)
		}
		d.keys("down")
	}
}

// People mistype, go back, and write more than they are asked for.
func TestAnswersAreSetRight(t *testing.T) {
	d := newDrive(t, freshBox())
	d.keys("qqq", "enter", "enter", "exmaple.org", "enter")
	d.wants("mail.exmaple.org")
	d.keys("shift+tab")
	for range len("exmaple.org") {
		d.keys("backspace")
	}
	d.keys("example.org", "enter")
	d.wants("mail.example.org")
	d.keys("enter", "a long password", "enter", "a lnog password", "enter")
	d.wants("The two passwords differ.")
	d.keys("a long password", "enter", "ann@example.org", "enter", "enter", "ann's words", "enter", "ann's words", "enter")
	d.keys("qqq", "enter", "qqq", "enter")
	if a := d.m.wizard.answers(); a.Hostname != "mail.example.org" || a.Mailbox != "ann@example.org" || a.SmartHost != "" || a.PublicCertificate {
		t.Errorf("the answers are %+v", a)
	}
	d.wants("Time zone (8/9)")
}

func TestFirstBoot(t *testing.T) {
	f := freshBox()
	d := newDrive(t, f)
	d.expect("first-language")
	d.keys("enter")
	d.expect("first-network")
	d.keys("enter")
	d.expect("first-names")
	d.keys("enter")
	d.expect("first-names-empty")
	d.keys("example.org", "enter")
	d.expect("first-names-proposed")
	d.keys("enter", "short", "enter")
	d.expect("first-admin-short")
	d.keys("er password", "enter", "another password", "enter")
	d.expect("first-admin-differs")
	for range len("another password") {
		d.keys("backspace")
	}
	d.keys("shorter password", "enter")
	d.keys("ann", "enter", "Ann Example", "enter", "ann's password", "enter", "ann's password", "enter")
	d.expect("first-sending")
	d.keys("down", "enter", "smtp.example.net:", "enter")
	d.expect("first-sending-wrong")
	d.keys("backspace", "enter")
	d.expect("first-sending-port")
	d.keys("enter", "ann", "enter", "enter")
	d.expect("first-sending-no-password")
	d.keys("smart word", "enter")
	d.expect("first-certificate")
	d.keys("down", "enter", "ann", "enter")
	d.expect("first-certificate-wrong")
	d.keys("@example.net", "enter", "berl")
	d.expect("first-zone")
	d.keys("enter")
	d.expect("first-summary")
	d.press(6, "esc")
	d.expect("first-back-again")
	d.press(17, "enter")
	want := Answers{Language: "en", Keyboard: "us", Hostname: "mail.example.org", Domain: "example.org", AdminPassword: "shorter password",
		Mailbox: "ann@example.org", MailboxName: "Ann Example", Password: "ann's password", TimeZone: "Europe/Berlin",
		SmartHost: "smtp.example.net:587", SmartHostUser: "ann", SmartHostPassword: "smart word",
		PublicCertificate: true, CertificateEmail: "ann@example.net"}
	if len(f.got) != 1 || f.got[0] != want {
		t.Fatalf("set up with %+v, want once %+v", f.got, want)
	}
	d.expect("first-done")
	d.keys("enter")
	d.expect("first-dns")
	d.keys("esc")
	d.wants("carries mail")
	d.keys("enter", "enter")
	d.expect("first-code")
	d.keys("tab")
	d.expect("first-code-camera")
	d.keys("enter")
	if !strings.Contains(d.screen(), "ALL WELL") {
		t.Errorf("after the set-up:\n%s", d.screen())
	}
}

func TestRefusedAnswerComesBackToItsField(t *testing.T) {
	f := freshBox()
	d := newDrive(t, f)
	answers := func() {
		d.keys("enter", "enter", "example.org", "enter", "enter", "admin password", "enter", "admin password", "enter",
			"ann", "enter", "enter", "ann's password", "enter", "ann's password", "enter", "enter", "enter", "utc", "enter")
	}
	answers()
	f.setUp = func(Answers) error { return &FieldError{"mailbox", "There is such a mailbox already."} }
	d.keys("enter")
	d.expect("refused-mailbox")
	f.setUp = func(Answers) error { return errors.New("maild does not answer") }
	d.press(8, "enter")
	d.expect("refused-whole")
	f.setUp = nil
	d.keys("enter")
	if len(f.got) != 3 || f.got[0] != f.got[2] {
		t.Errorf("answers changed on the way: %+v", f.got)
	}
}

func TestAddressMustBelongToTheDomain(t *testing.T) {
	d := newDrive(t, freshBox())
	d.keys("enter", "enter", "example.org", "enter", "enter", "admin password", "enter", "admin password", "enter")
	for range len("@example.org") {
		d.run(second(d.m.Update(tea.KeyPressMsg{Code: tea.KeyDelete})))
	}
	d.keys("ann@example.com", "enter")
	if s := d.screen(); !strings.Contains(s, "must end in @example.org") {
		t.Errorf("the screen is\n%s", s)
	}
}

func TestWrongProvisioningFile(t *testing.T) {
	f := freshBox()
	f.state.Problems = []string{`pillarbox.toml on the boot volume: line 7, user.address: "ann" lacks the @ and a domain`}
	d := newDrive(t, f)
	d.expect("first-wrong-file")
}

func TestStatus(t *testing.T) {
	when := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	well := State{Version: "0.1", Hostname: "mail.example.org", SetUp: true, Serving: true,
		Links:    []Link{{Name: "enp0s3", Up: true, Addresses: []string{"192.0.2.10/24", "2001:db8::10/64"}}, {Name: "enp0s4"}},
		Services: []Service{{"boxd", "running", 0}, {"maild", "running", 1}, {"console-tty1", "running", 0}},
		Mail:     MailFigures{1, 3, 1200, 0}, Disk: Disk{Total: 100 << 30, Free: 60 << 30}, Clock: Clock{Synced: true},
		Events: []Event{{when, "info", "maild started"}, {when.Add(-time.Hour), "warning", "maild ended: killed; started again"}},
	}
	f := &fake{state: well}
	d := newDrive(t, f)
	d.expect("status-well")

	f.state.Problems = []string{"The disk for mail is nearly full: 1.2 GiB are left. Mail is refused from 1 GiB on. Remove mail, or add a larger disk."}
	f.state.Services[1].State = "backoff"
	d.run(d.m.readState)
	d.expect("status-trouble")
	f.state.Problems = append(f.state.Problems, "A fan is too slow.", "The mains have failed.", "The clock is wrong.", "The network card enp0s4 has lost its link.")
	d.run(d.m.readState)
	if s := d.screen(); !strings.Contains(s, "The mains") || strings.Contains(s, "The clock") || !strings.Contains(s, "and 2 more: Health in the menu") {
		t.Errorf("the screen is\n%s", s)
	}

	f.state, f.stateEr = State{}, errors.New("boxd does not answer")
	d2 := newDrive(t, f)
	d2.expect("status-starting")
}

// A mail service that is down is no box without mailboxes.
func TestStatusWithoutTheMailService(t *testing.T) {
	f := &fake{state: State{Version: "0.1", Hostname: "mail.example.org", AskAgain: true, Silent: []string{"maild"}, MailError: "no answer from /run/maild.sock"}}
	d := newDrive(t, f)
	d.expect("status-no-mail")
	f.state.MailError = "" // it has not served since the start
	d.run(d.m.readState)
	d.wants("The box is getting ready.", "not known now")
}

func TestPowerNeedsASecondKey(t *testing.T) {
	f := &fake{state: State{SetUp: true, Serving: true}}
	d := newDrive(t, f)
	d.keys("p", "n")
	if f.off != 0 {
		t.Fatal("switched off without a yes")
	}
	d.keys("p")
	if s := d.screen(); !strings.Contains(s, "Press Y for yes") {
		t.Errorf("no question on\n%s", s)
	}
	d.keys("y")
	if f.off != 1 {
		t.Errorf("switched off %d times, want once", f.off)
	}
	d.m.speak("de")
	d.keys("p", "j")
	if f.off != 2 {
		t.Error("the first letter of the language's own yes is none")
	}
	d.m.speak("en")
	d.keys("r", "j", "r", "Y")
	if s := d.screen(); !strings.Contains(s, "That did not work: init does not answer") {
		t.Errorf("a failed restart is not told on\n%s", s)
	}
}

// Who waits for the set-up sees how far it is.
func TestProgressOfTheSetUp(t *testing.T) {
	d := newDrive(t, freshBox())
	d.m.wizard.phase = applying
	_, next := d.m.Update(setUpAt{StepSending, nil})
	if next != nil {
		t.Error("a step that nothing comes after leads to another")
	}
	d.expect("first-applying")
}

// A box set up elsewhere meanwhile does not go on asking.
func TestWizardEndsWhenSetUpElsewhere(t *testing.T) {
	f := freshBox()
	d := newDrive(t, f)
	f.state.SetUp = true
	d.run(d.m.readState)
	if s := d.screen(); !strings.Contains(s, "ALL WELL") {
		t.Errorf("still asking:\n%s", s)
	}
}

func TestScreenSizes(t *testing.T) {
	d := newDrive(t, &fake{state: State{SetUp: true, Serving: true, Hostname: "mail.example.org"}})
	for _, size := range [][2]int{{80, 25}, {132, 43}, {80, 24}, {5, 1}, {40, 12}, {0, 0}} {
		d.run(second(d.m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})))
		lines := strings.Split(strings.TrimSuffix(d.screen(), "\n"), "\n")
		if len(lines) != d.m.height || d.m.height < size[1] {
			t.Errorf("%v: %d lines, want %d", size, len(lines), d.m.height)
		}
	}
	if d.m.width != 40 || d.m.height != 12 {
		t.Errorf("a size of 0x0 was taken: %dx%d", d.m.width, d.m.height)
	}
}
