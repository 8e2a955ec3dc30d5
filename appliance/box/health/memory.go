package health

import (
	"path/filepath"

	"pillarbox/appliance/api/healthapi"
)

// memoryErrors reads what the memory controllers have counted since the start
// (Documentation/admin-guide/ras.rst of the kernel). Corrected errors foretell
// others; an uncorrected one has damaged something.
func memoryErrors(sys string) []healthapi.Reading {
	controllers, err := filepath.Glob(filepath.Join(sys, "devices/system/edac/mc/mc*"))
	if err != nil {
		return nil
	}
	var all []healthapi.Reading
	for _, mc := range controllers {
		base := filepath.Base(mc)
		if n, ok := integer(filepath.Join(mc, "ce_count")); ok {
			all = append(all, healthapi.Reading{ID: "memory/" + base + "/corrected", Kind: healthapi.Count, Name: "corrected memory errors", Value: n, WatchHigh: ptr(10.0)})
		}
		if n, ok := integer(filepath.Join(mc, "ue_count")); ok {
			all = append(all, healthapi.Reading{ID: "memory/" + base + "/uncorrected", Kind: healthapi.Count, Name: "uncorrected memory errors", Value: n, BadHigh: ptr(1.0)})
		}
		for _, of := range []struct{ folders, count, label string }{
			{"dimm*", "dimm_ce_count", "dimm_label"},
			{"csrow*", "ce_count", "ch0_dimm_label"}, // controllers that know no modules
		} {
			parts, err := filepath.Glob(filepath.Join(mc, of.folders))
			if err != nil {
				continue // the pattern is ours
			}
			for _, p := range parts {
				n, ok := integer(filepath.Join(p, of.count))
				if !ok || n == 0 {
					continue
				}
				name := line(filepath.Join(p, of.label))
				if name == "" {
					name = filepath.Base(p)
				}
				all = append(all, healthapi.Reading{ID: "memory/" + base + "/" + filepath.Base(p), Kind: healthapi.Count, Name: "corrected errors of memory module " + name, Value: n, WatchHigh: ptr(10.0)})
			}
			if len(parts) > 0 {
				break
			}
		}
	}
	return all
}

func ptr[T any](v T) *T { return &v }
