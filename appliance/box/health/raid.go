package health

import (
	"fmt"
	"path/filepath"

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
