package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"pillarbox/appliance/box/clock"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/efivar"
	"pillarbox/appliance/box/reset"
)

// Where the volumes are.
const (
	statePath = "/state"
	dataPath  = "/data"
	espPath   = "/esp"
)

// milestoneData is reached when the data volume is mounted.
const milestoneData = "data volume"

const (
	// diskWait is how long the boot waits for the disk. Controllers with many
	// drives take half a minute; a disk that comes later is used as well.
	diskWait = 30 * time.Second

	// diskPoll is the longest time between two looks while waiting, for disks
	// whose event was missed.
	diskPoll = time.Second

	// leastData is the data volume, in octets, that the mail store works in: its
	// reserve is 256 MB, its logs as much before they are written again.
	leastData = 1000 << 20

	// mailDiskWait is the same for the disk that mail is kept on, where the system
	// disk is there: its controller is a single one, or USB.
	mailDiskWait = 10 * time.Second

	// lookAgain is the time between two looks for volumes that are still missing:
	// the event may be lost, and a disk that could not be used may recover without.
	lookAgain = time.Minute

	// settleTime lets the partitions of a disk that just came appear.
	settleTime = 200 * time.Millisecond
)

// The user that maild runs as.
const (
	mailUID = 1000
	mailGID = 1000
)

// volumes are the mounted volumes of the box.
type volumes struct {
	work sync.Mutex // held while volumes are looked for and mounted

	mu               sync.Mutex
	state, data, esp *disk.Mount

	// resetting: the state volume asks for a factory reset, which ends when the
	// data volume is empty too. Guarded by work.
	resetting bool
	// lacks is the disk for mail that was chosen and is not there. Guarded by work.
	lacks *disk.Record
	// held, where set, lets the mail service start, which waits for a data volume
	// that was left for another and could not be used again. Guarded by work.
	held func()
}

// complete reports whether all that mail needs is mounted.
func (v *volumes) complete() bool {
	state, data, _ := v.get()
	return state != nil && data != nil
}

func (v *volumes) get() (state, data, esp *disk.Mount) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state, v.data, v.esp
}

// startVolumes mounts the volumes of the box. When they do not appear in time
// the boot goes on without, and they are used when they come.
func (s *System) startVolumes(ctx context.Context) {
	defer s.watchDisks(ctx)
	begin := time.Now()
	told := false
	for !s.mountVolumes(ctx, false) && ctx.Err() == nil {
		what, limit := "the system disk", diskWait
		if s.volumes.lacking() != nil {
			what, limit = "the disk for mail", mailDiskWait
		}
		// Who has pressed the power button does not wait for disks.
		if time.Since(begin) > limit || s.wished() {
			break
		}
		if !told && time.Since(begin) > 2*time.Second {
			s.say("waiting for %s, up to %v", what, limit)
			told = true
		}
		s.awaitDisk(ctx, diskPoll)
	}
	if s.wished() || s.volumes.complete() || s.mountVolumes(ctx, true) {
		return
	}
	state, data, _ := s.volumes.get()
	if data == nil {
		s.missing("data", "mail cannot be received or read until it is there", data == nil && state == nil)
	}
	if state == nil {
		s.missing("state", "settings cannot be kept until it is there", false)
	}
}

// watchDisks looks for volumes that are missing until the box is brought down:
// whenever a disk comes or goes, and from time to time. When they are there it looks
// for copies of the disk for mail alone.
func (s *System) watchDisks(ctx context.Context) {
	w := diskWatch{
		await:    s.awaitDisk,
		complete: s.volumes.complete,
		mount:    func(ctx context.Context) { s.mountVolumes(ctx, true) },
		settled:  s.findCopies,
		ending:   s.ending,
	}
	s.guard("disks", func() { w.run(ctx) })
}

// diskWatch is what watchDisks does.
type diskWatch struct {
	await    func(ctx context.Context, limit time.Duration) // a disk, or the limit where that is not 0
	complete func() bool                                    // no volume is missing
	mount    func(ctx context.Context)
	settled  func()
	ending   func() bool // what were mounted now would not be unmounted
}

func (w diskWatch) run(ctx context.Context) {
	for {
		limit := lookAgain
		if w.complete() {
			limit = 0
		}
		w.await(ctx, limit)
		switch {
		case ctx.Err() != nil || w.ending():
			return
		case w.complete():
			w.settled()
		default:
			w.mount(ctx)
		}
	}
}

// missing notes that a volume is not there, unless a better reason is known.
func (s *System) missing(name, consequence string, listDisks bool) {
	text := fmt.Sprintf("the %s volume was not found: %s", name, consequence)
	if listDisks {
		text += "; " + seenDisks("/sys")
	}
	if !s.problems.has(name + " volume") {
		s.problems.add(name+" volume", text)
	}
}

// seenDisks says in words which disks there are.
func seenDisks(sys string) string {
	disks, err := disk.Scan(sys)
	if err != nil || len(disks) == 0 {
		return "no disk at all is seen"
	}
	var names []string
	for _, d := range disks {
		names = append(names, fmt.Sprintf("%s (%s, %s)", d.Name, d.Model, disk.Size(d.Size)))
	}
	return "the disks seen are " + strings.Join(names, ", ")
}

// awaitDisk returns when a block device came or went, or after limit if that is not 0.
func (s *System) awaitDisk(ctx context.Context, limit time.Duration) {
	var expired <-chan time.Time
	if limit > 0 {
		expired = time.After(limit)
	}
	select {
	case <-s.hardware.disks:
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
		}
	case <-expired:
	case <-ctx.Done():
	}
}

// mountVolumes looks for the volumes that are not mounted yet, grows and mounts
// them, and does what waits for them. It reports whether all that mail needs
// is there. Before late, which says that disks had their time to come, the right
// ones are waited for where others are there that might be taken for them.
func (s *System) mountVolumes(ctx context.Context, late bool) bool {
	s.volumes.work.Lock()
	defer s.volumes.work.Unlock()
	disks, loader := s.findDisks(), s.bootedFrom()
	found, notes := disk.Choose(disks, loader)
	if !found.Complete() && found.ESP == nil || !late && slow(disks, loader) {
		return false
	}
	if len(notes) > 0 { // one text: of several each would be new at each look
		s.problems.add("disks", strings.Join(notes, " "))
	}
	state, data, esp := s.volumes.get()
	if state == nil && found.State != nil {
		s.takeState(ctx, *found.State)
	}
	if data == nil {
		s.findData(ctx, found.Data, disks, late)
	}
	if esp == nil && found.ESP != nil {
		s.takeESP(*found.ESP)
	}
	if _, data, _ = s.volumes.get(); data != nil && s.volumes.held != nil {
		s.volumes.held()
		s.volumes.held = nil
	}
	s.noteCopies(func() []disk.Disk { return disks })
	return s.volumes.complete()
}

// findDisks finds the disks, and what is on those that can be read.
func (s *System) findDisks() []disk.Disk {
	disks, err := s.finder.Find()
	if err != nil {
		s.log.Warn("some disks cannot be read", "error", err)
	}
	return disks
}

// bootedFrom is the partition that the boot loader was started from, empty where it
// does not say.
func (s *System) bootedFrom() string {
	loader, err := efivar.Partition(efivar.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("boot disk", "error", err)
	}
	return loader
}

// slow reports whether the disk that was booted, as far as the loader says, is not
// there yet: a stick takes seconds, and until then another Pillarbox in the machine
// looks like the only one.
func slow(disks []disk.Disk, loader string) bool {
	d, _ := disk.ByGUID(disks, loader)
	return loader != "" && d == nil
}

// takeState mounts the state volume and begins to keep logs on it.
func (s *System) takeState(ctx context.Context, p disk.Partition) {
	m := s.take(ctx, "state", p, statePath)
	if m == nil {
		return
	}
	s.setSaneClock("files on the state volume were written", s.BuildTime, clock.Newest(statePath))
	if !m.Status().ReadOnly { // else a reset could not be ended, and would begin at each start
		s.fillState()
	}
	s.volumes.mu.Lock()
	s.volumes.state = m
	s.volumes.mu.Unlock()
	s.problems.solved("state volume")
	// Late: they run without their settings.
	for _, service := range []string{serviceBox, serviceHealth} {
		s.sup.Restart(service)
	}
}

// fillState makes what is to be on the state volume.
func (s *System) fillState() {
	s.beginReset()
	for _, dir := range []string{"certs", "maild"} {
		if err := giveToMail(filepath.Join(statePath, dir), 0o700); err != nil {
			s.problems.add("state folders", err.Error())
		}
	}
	if err := s.book.Persist(filepath.Join(statePath, "log")); err != nil {
		s.problems.add("logs", fmt.Sprintf("logs are not kept: %v", err))
	}
}

// takeData mounts the data volume and lets maild go on. It reports whether it did.
func (s *System) takeData(ctx context.Context, p disk.Partition, disks []disk.Disk) bool {
	for _, d := range disks {
		if d.Name != p.Disk {
			continue
		}
		grown, err := disk.GrowPartition("/dev", d, p)
		if err != nil {
			s.problems.add("data partition", fmt.Sprintf("the data volume cannot take the whole disk %s: %v", d.Name, err))
		}
		p = grown
	}
	m := s.take(ctx, "data", p, dataPath)
	if m == nil {
		return false
	}
	state, _, _ := s.volumes.get()
	if !s.isHome(m, state != nil) {
		return false
	}
	s.endReset()
	if err := giveToMail(dataPath, 0o750); err != nil {
		s.problems.add("data folder", err.Error())
	}
	s.volumes.mu.Lock()
	s.volumes.data = m
	s.volumes.mu.Unlock()
	s.problems.solved("data volume")
	for _, d := range disks {
		if d.Name == p.Disk {
			st, role := m.Status(), "disk for mail"
			if state != nil && state.Disk == d.Name {
				role = "system disk"
			}
			s.say("%s %s (%s, %s), data volume %s, %s free", role, d.Name, d.Model, disk.Size(d.Size), disk.Size(st.Size), disk.Size(st.Free))
			if st.Size < leastData {
				s.problems.add("data size", fmt.Sprintf("the disk %s is too small: it leaves %s for mail, which needs %s or more; write the image to a disk of 4 GB or more", d.Name, disk.Size(st.Size), disk.Size(leastData)))
			}
		}
	}
	s.sup.Reach(milestoneData)
	return true
}

// beginReset empties the state volume where it asks for that. A data volume
// that mail is served from already stays as it is until the next start.
func (s *System) beginReset() {
	if !reset.Asked(statePath) {
		return
	}
	if _, data, _ := s.volumes.get(); data != nil {
		s.problems.add("factory reset", "the factory reset begins when the box is restarted")
		return
	}
	s.volumes.resetting = true
	s.say("factory reset: removing all settings")
	// Which disk mail is on must be known until that one is empty too.
	if err := reset.Empty(statePath, disk.RecordName); err != nil {
		s.problems.add("factory reset", err.Error())
	}
}

// endReset empties the data volume, and ends the reset when all went well.
func (s *System) endReset() {
	if !s.volumes.resetting {
		return
	}
	s.say("factory reset: removing all mail")
	err := reset.Empty(dataPath)
	if err == nil {
		err = reset.Done(statePath)
	}
	if err != nil {
		s.problems.add("factory reset", err.Error())
		return
	}
	s.volumes.resetting = false
	reset.Discard(statePath)
	reset.Discard(dataPath)
	s.say("factory reset: done")
}

func (s *System) takeESP(p disk.Partition) {
	m, err := disk.MountESP("/dev", p, espPath)
	if err != nil {
		s.problems.add("boot volume", fmt.Sprintf("the boot volume (ESP) cannot be read: %v", err))
		return
	}
	s.volumes.mu.Lock()
	s.volumes.esp = m
	s.volumes.mu.Unlock()
	s.problems.solved("boot volume")
}

// take mounts and grows one volume and looks at its health. It returns nil when
// that volume cannot be used.
func (s *System) take(ctx context.Context, name string, p disk.Partition, path string) *disk.Mount {
	m, err := disk.MountExt4("/dev", p, path)
	if errors.Is(err, disk.ErrReadOnly) && path == statePath {
		// With its settings the box is reached and locked as ever, and can say why
		// no mail goes.
		m, err = disk.MountReadable("/dev", p, path)
	}
	if err != nil {
		s.problems.add(name+" volume", fmt.Sprintf("the %s volume on %s cannot be used: %v", name, p.Name, err))
		return nil
	}
	gained, err := m.Grow(ctx, func(now, target int64) {
		s.say("growing the %s volume: %s of %s", name, disk.Size(now), disk.Size(target))
	})
	if err != nil {
		s.problems.add(name+" size", fmt.Sprintf("the %s volume cannot be grown: %v", name, err))
	}
	if gained > 0 {
		s.say("the %s volume has grown by %s", name, disk.Size(gained))
	}
	st := m.Status()
	if st.FSErrors > 0 {
		s.problems.add(name+" errors", fmt.Sprintf("the file system of the %s volume on %s has counted %d errors (the last in %s): "+
			"check the disk and have a backup ready", name, p.Name, st.FSErrors, st.LastError))
	}
	if st.ReadOnly {
		s.problems.add(name+" read-only", fmt.Sprintf("the %s volume on %s can only be read", name, p.Name))
	}
	return m
}

// giveToMail makes a folder that belongs to maild. When it belonged to somebody
// else, as on a fresh or restored volume, so does all that is in it.
func giveToMail(dir string, mode fs.FileMode) error {
	if err := os.MkdirAll(dir, mode); err != nil {
		return err
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || st.Uid != mailUID || st.Gid != mailGID {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, mailUID, mailGID)
		})
		if err != nil {
			return err
		}
	}
	return os.Chmod(dir, mode)
}
