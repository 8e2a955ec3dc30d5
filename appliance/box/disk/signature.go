package disk

import "bytes"

// signatureSpan is as much of the beginning of a volume as the signatures of all
// the kinds below lie in; that of btrfs is the last.
const signatureSpan = 68 << 10

// signatures tell what a volume holds. Those of containers, which may have what
// they were made of left inside, come first.
var signatures = []struct {
	kind  string
	at    int
	magic string
}{
	{"LUKS", 0, "LUKS\xba\xbe"},
	{"RAID", 0x1000, "\xfc\x4e\x2b\xa9"},
	{"LVM", 0x218, "LVM2 001"},
	{"BitLocker", 3, "-FVE-FS-"},
	{"NTFS", 3, "NTFS    "},
	{"exFAT", 3, "EXFAT   "},
	{"FAT", 0x52, "FAT32   "},
	{"FAT", 0x36, "FAT1"},
	{"XFS", 0, "XFSB"},
	{"btrfs", 0x10040, "_BHRfS_M"},
	{"swap", 0xff6, "SWAPSPACE2"},
	{"ISO 9660", 0x8001, "CD001"},
	{"ext4", superOffset + 0x38, "\x53\xef"},
}

// fileSystem names the kind of the volume that begins with head; empty where it is
// not known.
func fileSystem(head []byte) string {
	for _, s := range signatures {
		if len(head) >= s.at+len(s.magic) && string(head[s.at:s.at+len(s.magic)]) == s.magic {
			return s.kind
		}
	}
	return ""
}

// blank tells that nothing was ever written.
func blank(head []byte) bool { return len(bytes.Trim(head, "\x00")) == 0 }
