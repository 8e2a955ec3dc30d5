package main

import "testing"

// VMs side by side have ports and disks of their own; without a flag all is as ever.
func TestPortOffset(t *testing.T) {
	for _, tt := range []struct {
		offset, smtp int
		folder       string
	}{
		{portOffset, 20025, "run"}, {30000, 30025, "run-30000"}, {0, 0, ""}, {-20000, 0, ""}, {65000, 0, ""},
	} {
		list, err := forwards(tt.offset)
		if tt.smtp == 0 {
			if err == nil {
				t.Errorf("%d was taken", tt.offset)
			}
			continue
		}
		if err != nil || len(list) != len(mailPorts()) || list[0].Host != tt.smtp || list[0].Guest != 25 || runFolder(tt.offset) != tt.folder {
			t.Errorf("%d: %+v in %s, %v", tt.offset, list, runFolder(tt.offset), err)
		}
	}
}
