package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/disk"
	"pillarbox/appliance/box/reset"
	"pillarbox/appliance/config/atomicfile"
)

const (
	// appearWait is how long the partition of a disk that was just made has to
	// appear, and a held mail service to end.
	appearWait = 15 * time.Second

	// leaveWait is how long others, such as the health monitor, may still look at a
	// volume that is to be left.
	leaveWait  = 5 * time.Second
	leaveRetry = 100 * time.Millisecond
)

// notThere says what it means that the disk for mail is missing, and what to do.
func notThere(r *disk.Record) string {
	return fmt.Sprintf("The disk that mail is kept on is not there: %s. No mail can be received or read. "+
		"Connect it, and the box goes on by itself. If it is lost for good, write the image anew and restore a backup.", r)
}

// resetWaits says the same of a factory reset.
func resetWaits(r *disk.Record) string {
	return fmt.Sprintf("The factory reset waits for the disk that mail is kept on: %s. "+
		"Connect it, and the box goes on by itself. If it is lost for good, write the image anew.", r)
}

// alike says that disks are copies of each other, of which none is known to be the
// one that mail was kept on last.
func alike(copies []*disk.Disk) string {
	return fmt.Sprintf("Several disks hold the same mail, one being a copy of another, and the box cannot tell which is the right one: %s. "+
		"No mail can be received or read. Disconnect all but the one to be used, and the box goes on by itself.", named(copies))
}

// copied says that there are copies of the disk that mail is kept on.
func copied(copies []*disk.Disk) string {
	return fmt.Sprintf("There is a copy of the disk that mail is kept on: %s. It is not used. "+
		"Disconnect it, so that it is never taken for the right one.", named(copies))
}

func named(disks []*disk.Disk) string {
	var list []string
	for _, d := range disks {
		list = append(list, d.String())
	}
	return strings.Join(list, " and ")
}

// lacking is the disk for mail where it is known to be missing.
func (v *volumes) lacking() *disk.Record {
	v.work.Lock()
	defer v.work.Unlock()
	return v.lacks
}

// findData mounts the data volume: that of the disk that was chosen for mail, and
// no other in its place; without a choice own, that of the system disk.
func (s *System) findData(ctx context.Context, own *disk.Partition, disks []disk.Disk, late bool) {
	state, _, _ := s.volumes.get()
	var record *disk.Record
	if state != nil {
		var err error
		if record, err = disk.ReadRecord(statePath); err != nil {
			s.problems.add("data volume", err.Error())
			return
		}
	}
	if record == nil {
		if s.volumes.lacks = nil; own != nil {
			s.takeData(ctx, *own, disks)
		}
		return
	}
	d, p, wrong := chooseMailDisk(record, disks, late, s.volumes.resetting)
	switch {
	case p == nil:
		s.volumes.lacks = record
		if subject := "data volume"; wrong != "" {
			if s.volumes.resetting {
				subject = "factory reset"
			}
			s.problems.add(subject, wrong)
		}
	case s.volumes.resetting:
		if s.emptyMailDisk(ctx, *p) && own != nil {
			s.takeData(ctx, *own, disks)
		}
	default:
		s.volumes.lacks = nil
		if s.takeData(ctx, *p, disks) && !record.Of(d) {
			s.isOtherDisk(record, d)
		}
	}
}

// chooseMailDisk finds the disk of the record. Without it, or where it cannot be told
// from a copy, it says what is wrong once it is late; until then it waits for the
// disk that the record describes, where another has come in its place.
func chooseMailDisk(r *disk.Record, disks []disk.Disk, late, resetting bool) (d *disk.Disk, p *disk.Partition, wrong string) {
	d, p, copies := r.Find(disks)
	switch {
	case !late && (p == nil || !r.Of(d)):
		return nil, nil, ""
	case p != nil:
		return d, p, ""
	case len(copies) > 0:
		return nil, nil, alike(copies)
	case resetting:
		return nil, nil, resetWaits(r)
	}
	return nil, nil, notThere(r)
}

// isOtherDisk notes that the disk for mail is another one than before, a copy that
// took its place, or one behind another controller. From now on that is the one that
// is known: of two copies the one that was used last is the right one.
func (s *System) isOtherDisk(before *disk.Record, now *disk.Disk) {
	s.tell(initapi.Event{Time: time.Now(), Level: initapi.LevelWarn, Service: "init",
		Text: fmt.Sprintf("the disk that mail is kept on was %s and is %s now: it is a copy, or connected in another way", before, now)})
	if err := disk.RecordOf(now, before.Partition).Keep(statePath); err != nil {
		s.problems.add("mail disk", err.Error())
	}
}

// findCopies looks for copies of the disk that mail is kept on.
func (s *System) findCopies() {
	s.volumes.work.Lock()
	defer s.volumes.work.Unlock()
	s.noteCopies(s.findDisks)
}

// noteCopies notes which disks are copies of the one that mail is kept on, if it is
// on one of its own: else no disk need be found for it. volumes.work is held.
func (s *System) noteCopies(find func() []disk.Disk) {
	const subject = "copies of the disk for mail"
	state, data, _ := s.volumes.get()
	if state == nil || data == nil {
		return
	}
	record, err := disk.ReadRecord(statePath)
	if err != nil {
		return
	}
	var copies []*disk.Disk
	if record != nil {
		_, _, copies = record.Find(find())
		copies = slices.DeleteFunc(copies, func(d *disk.Disk) bool { return d.Name == data.Disk })
	}
	if len(copies) == 0 {
		s.problems.solved(subject)
		return
	}
	s.problems.add(subject, copied(copies))
}

// isHome tells whether mail is kept on the data volume m, which was just mounted.
// One that says it is not is left again where nothing is known of the disk that
// was chosen; with the state volume there, which knows of none, it is: the choice
// was cut short, or taken back.
func (s *System) isHome(m *disk.Mount, known bool) bool {
	away := filepath.Join(m.Path, disk.AwayName)
	where, err := os.ReadFile(away)
	if err != nil {
		return true
	}
	if known {
		if err := os.Remove(away); err != nil {
			s.log.Warn("data volume", "error", err)
		}
		return true
	}
	s.problems.add("data volume", fmt.Sprintf("Mail is kept on another disk: %s. The state volume, which knows more, cannot be used. "+
		"No mail can be received or read until it can.", where))
	if err := m.Leave(); err != nil {
		s.log.Warn("data volume", "error", err)
	}
	return false
}

// emptyMailDisk takes the disk for mail through a factory reset: it is empty before
// the box forgets which it is. It reports whether it is done.
func (s *System) emptyMailDisk(ctx context.Context, p disk.Partition) bool {
	m := s.take(ctx, "data", p, dataPath)
	if m == nil {
		return false
	}
	s.say("factory reset: removing all mail from %s", p.Disk)
	err := reset.Empty(dataPath)
	if err == nil {
		reset.Discard(dataPath)
	}
	if err = errors.Join(err, s.leaveData(m)); err == nil {
		err = disk.RemoveRecord(statePath)
	}
	if err != nil {
		s.problems.add("factory reset", err.Error())
		return false
	}
	s.volumes.lacks = nil
	s.problems.solved("factory reset")
	return true
}

// useMailDisk moves the data volume to the partition with a GUID, or where that is
// empty to the one of the system disk. What is on the volume that is left stays
// there: it is for a box that is not set up yet.
func (s *System) useMailDisk(ctx context.Context, guid string) error {
	s.volumes.work.Lock()
	defer s.volumes.work.Unlock()
	state, data, _ := s.volumes.get()
	switch {
	case state == nil || state.Status().ReadOnly:
		return wire.Conflict("the state volume cannot be written: see the problems of the box")
	case s.volumes.resetting:
		return wire.Conflict("a factory reset is under way")
	}
	before, err := disk.ReadRecord(statePath)
	if err != nil {
		return err
	}
	if data != nil && (before == nil && guid == "" || before != nil && before.Partition == guid) {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, appearWait)
	defer cancel()
	target, disks, err := s.awaitPartition(waiting, guid)
	if err != nil {
		return err
	}
	var record *disk.Record
	if d, _ := disk.ByGUID(disks, guid); d != nil {
		record = disk.RecordOf(d, guid)
	}
	release, err := s.sup.Hold(waiting, serviceMail)
	defer func() {
		if _, now, _ := s.volumes.get(); now != nil || s.volumes.held != nil {
			release()
			return
		}
		// Without a data volume maild would begin anew in memory.
		s.volumes.held = release
		s.hardware.wakeDisks()
	}()
	var none *wire.Error
	if err != nil && !(errors.As(err, &none) && none.Code == wire.CodeNotFound) { // not in this image
		return err
	}
	s.say("moving mail to the disk %s", target.Disk)
	err = move{
		mark: func() error {
			if data == nil || before != nil || record == nil {
				return nil
			}
			return atomicfile.Write(filepath.Join(dataPath, disk.AwayName), []byte(record.String()), 0o600)
		},
		leave: func() error { return s.leaveData(data) },
		take: func() error {
			if !s.takeData(ctx, *target, disks) {
				return fmt.Errorf("the new data volume on %s cannot be used", target.Name)
			}
			return nil
		},
		keep: func() error {
			if record == nil {
				return disk.RemoveRecord(statePath)
			}
			return record.Keep(statePath)
		},
		back: func() error {
			_, now, _ := s.volumes.get()
			if now == data { // it was not left
				return removeAway()
			}
			if err := s.leaveData(now); err != nil || data == nil {
				return err
			}
			if !s.takeData(ctx, data.Partition, disks) {
				return errors.New("nor can the one before be used again")
			}
			return nil
		},
	}.run()
	if err != nil {
		return err
	}
	s.problems.solved("disks") // a second system may have been on it
	s.noteCopies(func() []disk.Disk { return disks })
	s.say("mail is kept on the disk %s", target.Disk)
	return nil
}

// removeAway takes the mark from a volume that was to be left and was not.
func removeAway() error {
	err := os.Remove(filepath.Join(dataPath, disk.AwayName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// move takes mail from one volume to another. The record, which the next start goes
// by, is kept when the new volume has been seen to work: with a power cut before
// that the box is as it was, and after that it begins on the new one.
type move struct {
	mark  func() error // the volume that is left says so
	leave func() error
	take  func() error // the new volume
	keep  func() error
	back  func() error // uses the volume before again
}

func (m move) run() error {
	for _, step := range []func() error{m.mark, m.leave, m.take, m.keep} {
		if err := step(); err != nil {
			return errors.Join(err, m.back())
		}
	}
	return nil
}

// awaitPartition waits until the partition that is meant can be seen.
func (s *System) awaitPartition(ctx context.Context, guid string) (*disk.Partition, []disk.Disk, error) {
	for {
		disks := s.findDisks()
		_, p := disk.ByGUID(disks, guid)
		if guid == "" {
			found, _ := disk.Choose(disks, s.bootedFrom())
			p = found.Data
		}
		if p != nil && p.Volume == disk.LabelData {
			return p, disks, nil
		}
		select {
		case <-time.After(settleTime):
		case <-ctx.Done():
			return nil, nil, wire.NotFound("the data volume on that disk does not appear")
		}
	}
}

// leaveData takes the data volume out of use, when those who only look at it are
// done. A volume that stays in use stays mounted.
func (s *System) leaveData(m *disk.Mount) error {
	if m == nil {
		return nil
	}
	for deadline := time.Now().Add(leaveWait); ; time.Sleep(leaveRetry) {
		err := m.Leave()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return err
		}
	}
	s.volumes.mu.Lock()
	defer s.volumes.mu.Unlock()
	s.volumes.data = nil
	return nil
}
