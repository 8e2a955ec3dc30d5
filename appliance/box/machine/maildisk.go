package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/config"
)

// listDisks describes the disks. st is what init says, nil where it says nothing.
func (m *Manager) listDisks(st *initapi.Status) []boxapi.Disk {
	disks := m.findDisks()
	system, mail := systemDisk(st, disks), ""
	if st != nil {
		mail = st.Data.Disk
	}
	list := []boxapi.Disk{}
	for i := range disks {
		d := &disks[i]
		b := boxapi.Disk{Name: d.Name, Model: d.Model, Serial: d.Serial, Size: d.Size, Removable: d.Removable, Role: boxapi.RoleOther,
			Bus: d.Bus, Partitions: len(d.Partitions), Holds: holds(d), FileSystems: fileSystems(d), Unfit: d.Unfit()}
		switch d.Name {
		case system:
			b.Role = boxapi.RoleSystem
		case mail:
			b.Role = boxapi.RoleMail
		}
		list = append(list, b)
	}
	return list
}

// systemDisk is the disk that the box runs from: as init says, or by what lies on
// the disks where it says nothing.
func systemDisk(st *initapi.Status, disks []disk.Disk) string {
	if st != nil && st.State.Disk != "" {
		return st.State.Disk
	}
	if own, _ := disk.Choose(disks, ""); own.State != nil {
		return own.State.Disk
	}
	return ""
}

// holds says what is on a disk.
func holds(d *disk.Disk) string {
	has := func(volume string) bool {
		return slices.ContainsFunc(d.Partitions, func(p disk.Partition) bool { return p.Volume == volume })
	}
	switch {
	case has(disk.LabelState):
		return boxapi.HoldsPillarbox
	case has(disk.LabelData):
		return boxapi.HoldsMail
	case len(d.Partitions) > 0:
		return boxapi.HoldsPartitions
	case d.FileSystem != "":
		return boxapi.HoldsFileSystem
	case d.Blank:
		return boxapi.HoldsNothing
	}
	return boxapi.HoldsUnknown
}

func fileSystems(d *disk.Disk) (kinds []string) {
	add := func(kind string) {
		if kind != "" && !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	add(d.FileSystem)
	for _, p := range d.Partitions {
		add(p.FileSystem)
	}
	return kinds
}

// UseDisk has mail kept on another disk.
func (m *Manager) UseDisk(ctx context.Context, r boxapi.UseDiskRequest) error {
	if m.cfg.Mail == nil {
		return wire.Unavailable("there is no mail service to ask")
	}
	if ms, err := m.cfg.Mail.Status(ctx); err != nil {
		return fmt.Errorf("whether the box is set up is not known: %w", err)
	} else if ms.SetupDone {
		return wire.Conflict("the box is set up: mail stays on the disk it is on")
	}
	// No stick is looked for on a disk that is being made anew.
	m.sticks.Lock()
	defer m.sticks.Unlock()
	for _, d := range m.freshDisks() {
		if d.Name == r.Name && d.Serial == r.Serial && d.Size == r.Size {
			return m.useDisk(ctx, d)
		}
	}
	return wire.Invalid("disk", "The disk %s is not there any more.", r.Name)
}

// useDisk does it, with no look at whether the box is set up.
func (m *Manager) useDisk(ctx context.Context, d disk.Disk) error {
	st, err := m.cfg.Init.Status(ctx)
	if err != nil {
		return err
	}
	switch d.Name {
	case st.Data.Disk:
		return nil
	case st.State.Disk:
		return m.cfg.Init.UseDisk(ctx, initapi.UseDiskRequest{})
	}
	if why := unfit(&d); why != "" {
		return wire.Invalid("disk", "%s", why)
	}
	if !st.State.Mounted || st.State.ReadOnly { // before anything is overwritten for nothing
		return wire.Conflict("The state volume cannot be written: the box would not know its disk for mail again.")
	}
	packed, err := os.Open(m.path(disk.SeedPath))
	if err != nil {
		return fmt.Errorf("this image cannot make disks ready for mail: %w", err)
	}
	defer packed.Close()
	seed, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer seed.Close()
	m.cfg.Log.Warn("a disk is made ready for mail; what was on it is overwritten", "disk", d.Name, "model", d.Model, "serial", d.Serial)
	guid, err := disk.Prepare(m.path("dev"), d, seed)
	m.forgetDisks()
	if err != nil {
		m.cfg.Log.Error("the disk for mail", "error", err)
		return wire.Invalid("disk", "The disk %s cannot be written to: %v.", d.Name, err)
	}
	return m.cfg.Init.UseDisk(ctx, initapi.UseDiskRequest{Partition: guid})
}

// unfit says why mail cannot be kept on a disk; empty where it can.
func unfit(d *disk.Disk) string {
	switch d.Unfit() {
	case boxapi.UnfitSmall:
		return fmt.Sprintf("The disk %s is too small: it has %s, mail needs %s or more.", d.Name, disk.Size(d.Size), disk.Size(disk.LeastForMail))
	case boxapi.UnfitReadOnly:
		return fmt.Sprintf("The disk %s can only be read.", d.Name)
	case boxapi.UnfitUnreadable:
		return fmt.Sprintf("The disk %s cannot be read: it may be failing.", d.Name)
	case boxapi.UnfitRemovable:
		return fmt.Sprintf("The disk %s is made to be pulled out: no place to keep mail.", d.Name)
	}
	return ""
}

// forgetDisks has the disks looked for anew.
func (m *Manager) forgetDisks() {
	m.disks.Lock()
	defer m.disks.Unlock()
	m.disks.found = time.Time{}
}

// provisionedDisk finds the disk that a provisioning file names; nil where mail is
// kept on it already.
func (m *Manager) provisionedDisk(ctx context.Context, b *config.Box) (*disk.Disk, error) {
	disks := m.freshDisks()
	var found []disk.Disk
	for _, is := range []func(d disk.Disk) bool{
		func(d disk.Disk) bool { return d.Serial == b.DataDisk },
		func(d disk.Disk) bool { return d.Name == strings.TrimPrefix(b.DataDisk, "/dev/") },
		func(d disk.Disk) bool { return strings.EqualFold(d.Model, b.DataDisk) },
	} {
		for _, d := range disks {
			if is(d) {
				found = append(found, d)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	if len(found) != 1 {
		what := "is no disk of this machine"
		if len(found) > 1 {
			what = "is more than one disk of this machine"
		}
		return nil, onLine(b, fmt.Errorf("%q %s; there is %s", b.DataDisk, what, described(disks)))
	}
	d := &found[0]
	st, err := m.cfg.Init.Status(ctx)
	if err != nil {
		return nil, err
	}
	if d.Name == st.Data.Disk {
		return nil, nil
	}
	if why := unfit(d); why != "" && d.Name != st.State.Disk {
		return nil, onLine(b, errors.New(why))
	}
	return d, nil
}

// described lists disks for people.
func described(disks []disk.Disk) string {
	var list []string
	for _, d := range disks {
		text := d.Name + " ("
		for _, part := range []string{d.Model, d.Bus} {
			if part != "" {
				text += part + ", "
			}
		}
		if d.Serial != "" {
			text += "serial number " + d.Serial + ", "
		}
		list = append(list, text+disk.Size(d.Size)+")")
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// onLine says which line of a provisioning file an error is about.
func onLine(b *config.Box, err error) error {
	text := err.Error()
	var we *wire.Error
	if errors.As(err, &we) {
		text = we.Message
	}
	return &config.ProvisionError{Problems: []config.Problem{{Line: b.DataDiskLine, Field: "box.data_disk", Message: text}}}
}

// noStore tells that there is nothing yet on the data volume, and so no mail. Of
// one that is not there it tells nothing: the folder it would be mounted at is empty.
func (m *Manager) noStore(ctx context.Context) bool {
	if st, err := m.cfg.Init.Status(ctx); err != nil || !st.Data.Mounted {
		return false
	}
	list, err := os.ReadDir(m.cfg.Data)
	return err == nil && !slices.ContainsFunc(list, func(e os.DirEntry) bool { return e.Name() != "lost+found" })
}

// diskLater does the part of a provisioning file that names a disk on a box that
// was started before: maild, which starts after the file was looked at, knows
// whether it is set up.
func (m *Manager) diskLater(ctx context.Context, source string, b *config.Box, d *disk.Disk, handOver func() error) {
	refuse := func(err error) {
		err = fmt.Errorf("%s on %s: %w", provisionName, source, onLine(b, err))
		m.cfg.Log.Error("the provisioning file is not applied", "error", err)
		m.setProvision(boxapi.Provision{State: boxapi.ProvisionInvalid, Source: source, Error: err.Error()})
	}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		ms, err := m.cfg.Mail.Status(ctx)
		if err == nil && ms.SetupDone {
			refuse(errors.New("the box is set up, and mail stays on the disk it is on: take the line out"))
			return
		}
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
	m.sticks.Lock()
	err := m.useDisk(ctx, *d)
	m.sticks.Unlock()
	if err != nil {
		refuse(err)
		return
	}
	if err := handOver(); err != nil {
		refuse(err)
		return
	}
	m.putInForce()
	if err := m.cfg.Init.Restart(ctx, "maild"); err != nil {
		m.cfg.Log.Error("the mail service does not read the provisioning file now", "error", err)
	}
}
