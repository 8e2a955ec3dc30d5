package console

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
)

const (
	// unfitFailing is why a disk is refused that says so of itself.
	unfitFailing = "failing"

	// leastSystemDisk has room for mail beside the system, in bytes.
	leastSystemDisk = 3_300_000_000

	// modelWidth is as much of a disk's model as an option shows.
	modelWidth = 22
)

// disksToAsk are the disks that mail may be kept on; none where there is nothing
// to choose. What is made to be pulled out is no place for mail, unless the box was
// started from it.
func disksToAsk(s State) []boxapi.Disk {
	var list []boxapi.Disk
	for _, d := range s.Disks {
		if !d.Removable || d.Role != boxapi.RoleOther {
			list = append(list, d)
		}
	}
	if len(list) < 2 || !slices.ContainsFunc(list, func(d boxapi.Disk) bool { return d.Role == boxapi.RoleSystem }) {
		return nil
	}
	return list
}

// markFailing marks the disks of which the health monitor says that they are.
func markFailing(disks []boxapi.Disk, states []healthapi.State) []boxapi.Disk {
	disks = slices.Clone(disks)
	for i, d := range disks {
		id := "drive/" + cmp.Or(d.Serial, d.Name)
		if slices.ContainsFunc(states, func(s healthapi.State) bool {
			return s.Level == healthapi.Bad && (s.ID == id+"/verdict" || s.ID == id+"/self-test")
		}) {
			disks[i].Unfit = unfitFailing
		}
	}
	return disks
}

// diskPage asks which disk mail is to be kept on.
func (w *wizard) diskPage() *page {
	T := w.c.T
	f := newField(field{id: "disk", label: T("Disk for mail"), options: []string{}, help: T("Choose with the arrow keys."), check: w.checkDisk}, "")
	return &page{title: T("Disk for mail"), intro: T("Where is mail to be kept? The system stays on the disk it was started from."),
		fields: []*field{f}, facts: w.diskFacts, needless: func() bool { return len(w.disks) == 0 }}
}

// offerDisks puts up for choice the disks there are now. What was chosen stays, if
// it is there.
func (w *wizard) offerDisks() {
	list := disksToAsk(w.box().state)
	if reflect.DeepEqual(list, w.disks) {
		return
	}
	before := w.chosenDisk()
	w.disks = list
	f := w.field("disk")
	f.options = []string{w.c.T("Please choose")}
	for _, d := range list {
		f.options = append(f.options, w.diskLabel(d))
	}
	f.input.SetValue("")
	f.pick = w.usualDisk()
	for i, d := range list {
		if before != nil && d.Name == before.Name && d.Serial == before.Serial {
			f.pick = i + 1
		}
	}
}

// usualDisk is the option that is proposed: the disk that was chosen before, or the
// system disk where it is one to keep mail on; else none, since the others would be
// overwritten.
func (w *wizard) usualDisk() int {
	for i, d := range w.disks {
		if d.Role == boxapi.RoleMail {
			return i + 1
		}
	}
	for i, d := range w.disks {
		if d.Role == boxapi.RoleSystem && !d.Removable && d.Bus != "USB" && w.unfit(d) == "" {
			return i + 1
		}
	}
	return 0
}

// chosenDisk is the one chosen, nil where there is none.
func (w *wizard) chosenDisk() *boxapi.Disk {
	f := w.field("disk")
	for i := range w.disks {
		if i+1 < len(f.options) && f.options[i+1] == f.value() {
			return &w.disks[i]
		}
	}
	return nil
}

// overwrites reports whether the set-up overwrites a disk.
func overwrites(d *boxapi.Disk) bool { return d != nil && d.Role == boxapi.RoleOther }

// diskAnswer is the disk to use; empty where nothing was asked.
func (w *wizard) diskAnswer() boxapi.UseDiskRequest {
	if d := w.chosenDisk(); d != nil {
		return boxapi.UseDiskRequest{Name: d.Name, Serial: d.Serial, Size: d.Size}
	}
	return boxapi.UseDiskRequest{}
}

// diskLabel is a disk in one line.
func (w *wizard) diskLabel(d boxapi.Disk) string {
	var parts []string
	for _, part := range []string{strings.TrimSpace(fit(d.Model, modelWidth)), octets(d.Size), d.Bus} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	text := d.Name + ": " + strings.Join(parts, ", ")
	if d.Role == boxapi.RoleSystem {
		text += " (" + w.c.T("system disk") + ")"
	}
	return text
}

func (w *wizard) checkDisk(string) error {
	d := w.chosenDisk()
	switch {
	case len(w.disks) == 0: // those there were to choose from are gone
		return nil
	case d == nil:
		return errors.New(w.c.T("Choose the disk that mail is to be kept on."))
	}
	if why := w.unfit(*d); why != "" {
		return errors.New(why)
	}
	return nil
}

// unfit says why mail cannot be kept on a disk; empty where it can.
func (w *wizard) unfit(d boxapi.Disk) string {
	T := w.c.T
	switch {
	case d.Unfit == unfitFailing:
		return T("This disk says that it is failing: take another one.")
	case d.Role == boxapi.RoleMail:
		return ""
	case d.Role == boxapi.RoleSystem && d.Size < leastSystemDisk, d.Unfit == boxapi.UnfitSmall:
		return T("This disk is too small for mail.")
	case d.Role == boxapi.RoleSystem:
		return ""
	case d.Unfit == boxapi.UnfitReadOnly:
		return T("This disk can only be read: it is write-protected, or worn out.")
	case d.Unfit == boxapi.UnfitUnreadable:
		return T("This disk cannot be read: it may be failing.")
	}
	return ""
}

// diskFacts say what is on the disk that is chosen, and what will become of it.
func (w *wizard) diskFacts() (lines []string) {
	T, d := w.c.T, w.chosenDisk()
	if d == nil {
		return nil
	}
	add := func(render func(...string) string, text string) {
		for _, l := range wrap(text, defaultWidth-4) {
			lines = append(lines, "  "+render(l))
		}
	}
	why := w.unfit(*d)
	switch {
	case d.Role == boxapi.RoleSystem:
		add(w.t.bold.Render, T("The system runs from this disk; mail gets all of its free space."))
		if d.Removable || d.Bus == "USB" {
			add(w.t.dim.Render, T("A stick wears out, and can be pulled out: another disk is better."))
		}
	case d.Role == boxapi.RoleMail:
		add(w.t.bold.Render, T("This disk was made ready for mail before and is used as it is."))
	default:
		if d.Serial != "" {
			add(w.t.dim.Render, T("Serial number: %s", d.Serial))
		}
		add(w.t.bold.Render, T("On this disk now: %s", w.diskHolds(*d)))
		if why == "" {
			add(w.t.warn.Render, w.overwritten(*d))
		}
	}
	if why != "" && w.field("disk").err == "" {
		add(w.t.warn.Render, why)
	}
	return append(lines, "")
}

// overwritten says what becomes of a disk.
func (w *wizard) overwritten(d boxapi.Disk) string {
	if d.Holds == boxapi.HoldsMail || d.Holds == boxapi.HoldsPillarbox {
		return w.c.T("Everything on this disk is overwritten, and with it all mail of that other Pillarbox.")
	}
	return w.c.T("Everything on this disk is overwritten.")
}

// diskHolds says what is on a disk.
func (w *wizard) diskHolds(d boxapi.Disk) string {
	T := w.c.T
	kinds := ""
	if len(d.FileSystems) > 0 {
		kinds = " (" + strings.Join(d.FileSystems, ", ") + ")"
	}
	switch d.Holds {
	case boxapi.HoldsNothing:
		return T("nothing, it is empty")
	case boxapi.HoldsPartitions:
		return w.c.Plural(int64(d.Partitions), "%d partition", "%d partitions") + kinds
	case boxapi.HoldsFileSystem:
		return T("a file system") + kinds
	case boxapi.HoldsPillarbox:
		return T("another Pillarbox, with its mail")
	case boxapi.HoldsMail:
		return T("a mail volume of another Pillarbox")
	}
	return T("something that is not known here")
}

// diskForMail says in the summary which disk is used, and that others are not.
func (w *wizard) diskForMail() string {
	if d := w.chosenDisk(); d != nil {
		return w.diskLabel(*d)
	}
	d := w.box().state.Disk
	if d.Total == 0 {
		return w.c.T("not found yet")
	}
	text := strings.TrimSpace(d.Name + " (" + octets(d.Total) + ")")
	if d.Others > 0 {
		text += ", " + w.c.Plural(int64(d.Others), "%d other is left alone", "%d others are left alone")
	}
	return text
}

// diskWarning is what the summary says of a disk that is overwritten.
func (w *wizard) diskWarning(width int) []string {
	d := w.chosenDisk()
	if !overwrites(d) {
		return nil
	}
	return w.t.trouble(d.Name+": "+w.overwritten(*d), width)
}
