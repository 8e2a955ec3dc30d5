package health

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/box/kmsg"
)

func TestKernel(t *testing.T) {
	for _, tt := range []struct{ text, id, what string }{
		{"I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2", "kernel/io/vda", "The disk vda has failed"},
		{"blk_update_request: I/O error, dev sdb, sector 0 op 0x0:(READ)", "kernel/io/sdb", "The disk sdb has failed"},
		{"critical medium error, dev nvme0n1, sector 8 op 0x0:(READ)", "kernel/io/nvme0n1", "The disk nvme0n1"},
		{"ata3: hard resetting link", "kernel/bus/ata3", "(ata3)"},
		{"ata3.00: failed command: READ FPDMA QUEUED", "kernel/bus/ata3", "(ata3)"},
		{"nvme nvme0: I/O 12 QID 3 timeout, aborting", "kernel/bus/nvme0", "does not answer in time"},
		{"EXT4-fs error (device sda4): ext4_lookup:1855: inode #2: comm maild: deleted inode", "kernel/fs/sda4", "on sda4"},
		{"md/raid1:md127: Disk failure on sdb3, disabling device.", "kernel/raid/md127", "md127"},
		{"mce: [Hardware Error]: Machine check events logged", "kernel/mce/corrected", "set right"},
		{"mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 5: 8c00004000010090", "kernel/mce/corrected", "set right"},
		{"[Hardware Error]: Corrected error, no action required.", "kernel/mce/corrected", "set right"},
		{"{1}[Hardware Error]: event severity: corrected", "kernel/mce/corrected", "set right"},
		{"mce: [Hardware Error]: CPU 1: Machine Check: 0 Bank 5: be00000000800400", "kernel/mce", "reported an error"},
		{"mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 4: b200000000070005", "kernel/mce", "reported an error"},
		{"[Hardware Error]: Uncorrected, software restartable error.", "kernel/mce", "reported an error"},
		{"{1}[Hardware Error]: event severity: fatal", "kernel/mce", "reported an error"},
		{"mce: CPU2: Package temperature is above threshold, cpu clock is throttled (total events = 1)", "kernel/heat", "too hot"},
		{"Out of memory: Killed process 512 (maild) total-vm:1234kB", "kernel/oom", "program maild was ended"},
		{"INFO: task maild:412 blocked for more than 120 seconds.", "kernel/hung", "maild waited"},
		{"BUG: unable to handle page fault for address: ffff", "kernel/fault", "kernel has made an error"},
		{"pcieport 0000:00:1c.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer", "kernel/pcie", "card"},
		{"pcieport 0000:00:1c.0: PCIe Bus Error: severity=Uncorrectable (Non-Fatal), type=Transaction Layer", "kernel/pcie", "card"},
		{"pcieport 0000:00:1c.0: PCIe Bus Error: severity=Corrected, type=Physical Layer", "", ""},
		{"EXT4-fs (sda4): mounted filesystem with ordered data mode", "", ""},
		{"ata1: SATA link up 6.0 Gbps (SStatus 133 SControl 300)", "", ""},
		{"pcieport 0000:00:1c.0: AER: enabled with IRQ 24", "", ""},
		{"mce: Using 10 MCE banks", "", ""},
		{"mce: [Hardware Error]: TSC 0 ADDR 1234", "", ""},
		{"mce: [Hardware Error]: PROCESSOR 0:306c3 TIME 1400000000 SOCKET 0 APIC 0 microcode 1c", "", ""},
	} {
		var k kernel
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		least := 1
		if strings.HasPrefix(tt.id, "kernel/bus/ata") {
			least = linkTroubles
		}
		for range least - 1 {
			k.take(now, kmsg.Record{Text: tt.text})
		}
		if found := k.read(now); len(found) != 0 {
			t.Errorf("%q is told too early: %+v", tt.text, found)
		}
		k.take(now, kmsg.Record{Text: tt.text})
		found := k.read(now)
		if tt.id == "" {
			if len(found) != 0 {
				t.Errorf("%q is a complaint: %+v", tt.text, found)
			}
			continue
		}
		if len(found) != 1 || found[0].id != tt.id || !strings.Contains(found[0].what, tt.what) || strings.Contains(found[0].what, "%!") || found[0].means == "" || found[0].do == "" {
			t.Errorf("%q: %+v", tt.text, found)
			continue
		}
		k.take(now, kmsg.Record{Text: tt.text})
		if f := k.read(now)[0]; !strings.HasSuffix(f.what, fmt.Sprintf("It said so %d times since the box was started.", least+1)) {
			t.Errorf("%+v", f)
		}
		if f := k.read(now.Add(complaintShown))[0]; f.level != healthapi.OK {
			t.Errorf("a day later: %+v", f)
		}
		if f := k.read(now.Add(complaintShown + forget)); len(f) != 0 {
			t.Errorf("later still: %+v", f)
		}
	}
}
