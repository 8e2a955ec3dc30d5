package console

import (
	"context"
	"errors"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/mailapi"
)

// stickBox is a fresh box that was started from a stick and has disks inside.
func stickBox() *fake {
	f := freshBox()
	f.state.Disks = []boxapi.Disk{
		{Name: "nvme0n1", Model: "ACME Fast 9", Serial: "N9", Size: 1e12, Bus: "NVMe", Role: boxapi.RoleOther, Holds: boxapi.HoldsPartitions, Partitions: 3, FileSystems: []string{"FAT", "NTFS"}},
		{Name: "sda", Model: "ACME SSD 7 of the long and narrow kind", Serial: "S7", Size: 500e9, Bus: "SATA", Role: boxapi.RoleOther, Holds: boxapi.HoldsMail, Partitions: 1, FileSystems: []string{"ext4"}},
		{Name: "sdb", Model: "Tiny", Size: 1e9, Bus: "SATA", Role: boxapi.RoleOther, Unfit: boxapi.UnfitSmall},
		{Name: "sdc", Model: "Old", Serial: "O1", Size: 1e12, Bus: "SAS", Role: boxapi.RoleOther, Holds: boxapi.HoldsUnknown, Unfit: boxapi.UnfitUnreadable},
		{Name: "sdd", Model: "USB Stick", Serial: "U1", Size: 32e9, Bus: "USB", Removable: true, Role: boxapi.RoleSystem, Unfit: boxapi.UnfitRemovable},
		{Name: "sde", Model: "Other Stick", Size: 32e9, Bus: "USB", Removable: true, Role: boxapi.RoleOther, Unfit: boxapi.UnfitRemovable},
	}
	return f
}

// toDisks answers what comes before the question for the disk.
func (d *drive) toDisks() {
	d.keys("enter", "enter", "example.org", "enter", "enter", "admin password", "enter", "admin password", "enter",
		"ann", "enter", "enter", "ann's password", "enter", "ann's password", "enter", "enter", "enter", "utc", "enter")
}

func TestDiskForMail(t *testing.T) {
	f := stickBox()
	d := newDrive(t, f)
	d.wants("Welcome (1/10)")
	d.toDisks()
	d.expect("first-disk")
	d.keys("enter") // none is chosen
	d.wants("Choose the disk that mail is to be kept on.")
	d.keys("down")
	d.expect("first-disk-overwritten")
	d.keys("down")
	d.wants("a mail volume of another Pillarbox")
	d.wants("with it all mail of that")
	d.keys("down", "enter")
	d.expect("first-disk-small")
	d.keys("down", "enter")
	d.wants("! This disk cannot be read: it may be failing.")
	d.keys("down")
	d.wants("The system runs from this disk")
	d.wants("A stick wears out")
	d.keys("up", "up", "up", "up", "enter")
	d.expect("first-disk-summary")
	if len(f.got) > 0 {
		t.Fatal("something was written before the summary was confirmed")
	}
	d.keys("esc")
	d.wants("nvme0n1: ACME Fast 9")
	d.keys("enter", "enter")
	if want := (boxapi.UseDiskRequest{Name: "nvme0n1", Serial: "N9", Size: 1e12}); len(f.got) != 1 || f.got[0].Disk != want {
		t.Errorf("set up with %+v", f.got)
	}
}

// A refused disk comes back to its page, with the daemon's sentence.
func TestRefusedDisk(t *testing.T) {
	f := stickBox()
	d := newDrive(t, f)
	d.toDisks()
	d.keys("down", "enter")
	f.setUp = func(Answers) error {
		return &FieldError{"disk", "The disk nvme0n1 cannot be written to: input/output error."}
	}
	d.keys("enter")
	d.wants("Disk for mail (9/10)")
	d.wants("! The disk nvme0n1 cannot be written to: input/output error.")
}

// The disks are those there are now: one that is plugged in is put up for choice,
// and what was chosen stays.
func TestDisksComeAndGo(t *testing.T) {
	f := stickBox()
	all := f.state.Disks
	f.state.Disks = all[4:]
	d := newDrive(t, f)
	d.wants("Welcome (1/9)") // another stick is no place for mail
	f.state.Disks = all
	d.run(d.m.readState)
	d.wants("Welcome (1/10)")
	d.toDisks()
	d.keys("down", "down")
	f.state.Disks = all[1:]
	d.run(d.m.readState)
	d.wants("> sda: ACME SSD 7 of")
	f.state.Disks = all[:1]
	d.run(d.m.readState)
	d.keys("enter")
	d.wants("Is this right? (9/9)")
	d.keys("enter")
	if len(f.got) != 1 || f.got[0].Disk.Name != "" {
		t.Errorf("set up with %+v", f.got)
	}
}

func TestUsualDisk(t *testing.T) {
	system := func(change func(*boxapi.Disk)) boxapi.Disk {
		d := boxapi.Disk{Name: "sda", Size: 500e9, Bus: "SATA", Role: boxapi.RoleSystem}
		change(&d)
		return d
	}
	other := boxapi.Disk{Name: "sdb", Size: 1e12, Role: boxapi.RoleOther}
	mail := boxapi.Disk{Name: "sdc", Size: 1e12, Role: boxapi.RoleMail}
	for _, tt := range []struct {
		name  string
		disks []boxapi.Disk
		want  string
	}{
		{"a disk inside", []boxapi.Disk{system(func(*boxapi.Disk) {}), other}, "sda"},
		{"a stick", []boxapi.Disk{system(func(d *boxapi.Disk) { d.Removable = true }), other}, ""},
		{"a stick that does not say so", []boxapi.Disk{system(func(d *boxapi.Disk) { d.Bus = "USB" }), other}, ""},
		{"too small", []boxapi.Disk{system(func(d *boxapi.Disk) { d.Size = 2e9 }), other}, ""},
		{"chosen before", []boxapi.Disk{system(func(*boxapi.Disk) {}), other, mail}, "sdc"},
		{"one disk", []boxapi.Disk{system(func(*boxapi.Disk) {})}, "no question"},
		{"no system disk", []boxapi.Disk{other, other}, "no question"},
	} {
		f := freshBox()
		f.state.Disks = tt.disks
		w := newDrive(t, f).m.wizard
		got := "no question"
		if len(w.disks) > 0 {
			got = w.diskAnswer().Name
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTheDiskPageFitsInEachLanguage(t *testing.T) {
	for i, l := range Languages() {
		d := newDrive(t, stickBox())
		d.run(second(d.m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})))
		d.press(i, "down")
		d.toDisks()
		for n := range 6 {
			d.fits(l.Code + " disks")
			d.keys("enter") // refused, or on to the summary and back
			d.fits(l.Code + " disks")
			if strings.Contains(d.screen(), "10/10") {
				d.keys("esc")
			}
			if !strings.Contains(d.screen(), "9/10") {
				t.Fatalf("%s, disk %d:\n%s", l.Code, n, d.screen())
			}
			d.keys("down")
		}
	}
}

func TestFailingDisksAreMarked(t *testing.T) {
	disks := stickBox().state.Disks
	got := markFailing(disks, []healthapi.State{
		{ID: "drive/N9/verdict", Level: healthapi.Bad}, {ID: "drive/S7/temperature", Level: healthapi.Bad}, {ID: "drive/sdb/self-test", Level: healthapi.Bad},
	})
	for i, want := range []string{unfitFailing, "", unfitFailing, boxapi.UnfitUnreadable} {
		if got[i].Unfit != want {
			t.Errorf("%s: %q, want %q", got[i].Name, got[i].Unfit, want)
		}
	}
	if disks[0].Unfit != "" {
		t.Error("the list that was given was changed")
	}
}

// diskBox moves mail to another disk, after which its maild is new and empty, and
// takes a moment to answer.
type diskBox struct {
	cutBox
	mail  *diskMail
	steps *[]string
}

func (b *diskBox) UseDisk(_ context.Context, r boxapi.UseDiskRequest) error {
	if *b.left--; *b.left < 0 {
		return errCut
	}
	*b.steps = append(*b.steps, "disk "+r.Name)
	b.mail.away = 2
	return nil
}

type diskMail struct {
	cutMail
	away int
}

func (m *diskMail) Status(context.Context) (*mailapi.Status, error) {
	if m.away--; m.away >= 0 {
		return nil, errors.New("not there")
	}
	return &mailapi.Status{Serving: true}, nil
}

// A power cut while the answers are applied, with another disk among them: what
// maild is told comes after the disk, for it begins anew there.
func TestPowerCutWhileApplyingWithADisk(t *testing.T) {
	a := Answers{Language: "de", Keyboard: "ch", Hostname: "mail.example.org", Domain: "example.org", AdminPassword: "admin word", Mailbox: "ann@example.org",
		Password: "ann's word", TimeZone: "Europe/Berlin", Disk: boxapi.UseDiskRequest{Name: "sdb", Size: 5}}
	const steps = 4
	for cut := range steps + 1 {
		var done []string
		left := cut
		mail := &diskMail{cutMail: cutMail{setUpMail{steps: &done}, &left}}
		s := &Sockets{Box: &diskBox{cutBox{left: &left}, mail, &done}, Mail: mail}
		if err := s.SetUp(t.Context(), a, func(SetUpStep) {}); (err == nil) != (cut == steps) || err != nil && !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		if cut < steps && strings.Contains(strings.Join(done, " "), "setup") {
			t.Fatalf("cut %d: the box counts as set up after %v", cut, done)
		}
		left, done = steps, nil
		var at []SetUpStep
		if err := s.SetUp(t.Context(), a, func(s SetUpStep) { at = append(at, s) }); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(done, " "); got != "disk sdb smart host  setup ann@example.org" || len(at) != int(setUpSteps) {
			t.Errorf("cut %d: after doing it again: %q, steps %v", cut, got, at)
		}
	}
}

// What the status page and the summary call the disk for mail is the one used.
func TestStateNamesTheDiskUsed(t *testing.T) {
	var st State
	st.fromBox(&boxapi.Status{Disks: []boxapi.Disk{
		{Name: "sda", Model: "Stick", Role: boxapi.RoleSystem}, {Name: "sdb", Model: "SSD", Role: boxapi.RoleMail}, {Name: "sdc", Role: boxapi.RoleOther},
	}})
	if st.Disk.Name != "SSD sdb" || st.Disk.Others != 1 {
		t.Errorf("%+v", st.Disk)
	}
	st.SetUp, st.Serving, st.Disk.Total, st.Disk.Free = true, true, 5e11, 4e11
	newDrive(t, &fake{state: st}).wants("400 GB free of 500 GB, SSD sdb")
}
