package health

import (
	"fmt"
	"path/filepath"
	"strings"

	"pillarbox/appliance/api/healthapi"
)

// arrays reads the kernel's own RAID arrays.
func arrays(sys string) (found []finding) {
	dirs, err := filepath.Glob(filepath.Join(sys, "block/md*/md"))
	if err != nil {
		return nil
	}
	for _, d := range dirs {
		name := filepath.Base(filepath.Dir(d))
		missing, ok := integer(filepath.Join(d, "degraded"))
		if !ok {
			continue // a level without redundancy
		}
		f := finding{id: "raid/" + name}
		switch action := line(filepath.Join(d, "sync_action")); {
		case missing > 0 && action == "recover":
			f.level = healthapi.Watch
			f.what = fmt.Sprintf("The disk array %s is being rebuilt (%s).", name, line(filepath.Join(d, "sync_completed")))
			f.means = "Until that is done the failure of one more disk would lose what is on it."
			f.do = "Wait. Do not pull a disk."
		case missing > 0:
			f.level = healthapi.Bad
			f.what = fmt.Sprintf("The disk array %s lacks %.0f of its disks.", name, missing)
			f.means = "Everything still works, but the failure of one more disk loses what is on it."
			f.do = "Replace the disk that failed."
		}
		found = append(found, f)
	}
	return found
}

// controllerArrays reads the arrays that a controller makes, as far as its
// driver tells of them by the kernel's raid_class (mptsas, mpt3sas). Other
// controllers tell their management controller at most, see management.
func controllerArrays(sys string) (found []finding) {
	dirs, err := filepath.Glob(filepath.Join(sys, "class/raid_devices/*"))
	if err != nil {
		return nil // the pattern is ours
	}
	for _, d := range dirs {
		f := finding{id: "raid/" + filepath.Base(d)}
		name := filepath.Base(d)
		if disks, err := filepath.Glob(filepath.Join(d, "device/block/*")); err == nil && len(disks) == 1 {
			name = filepath.Base(disks[0])
		}
		switch state := line(filepath.Join(d, "state")); {
		case strings.HasPrefix(state, "resync"):
			f.level = healthapi.Watch
			f.what = fmt.Sprintf("The disk array %s is being rebuilt (%s).", name, line(filepath.Join(d, "resync"))+" %") // percent
			f.means = "Until that is done the failure of one more disk would lose what is on it."
			f.do = "Wait. Do not pull a disk."
		case state == "degraded":
			f.level = healthapi.Bad
			f.what = fmt.Sprintf("The disk array %s lacks a disk.", name)
			f.means = "Everything still works, but the failure of one more disk loses what is on it."
			f.do = "Replace the disk that failed."
		case state == "offline":
			f.level = healthapi.Bad
			f.what = fmt.Sprintf("The disk array %s does not work any more.", name)
			f.means = "What is stored there may be lost."
			f.do = "Look at the disks' lights and at the controller's own setup; have a backup ready."
		}
		found = append(found, f)
	}
	return found
}
