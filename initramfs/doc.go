// Package initramfs makes the box's root file system: one compressed cpio
// archive that the kernel unpacks into memory and starts /init from.
//
//	/init /bin/*         our programs, each a static binary of its own
//	/bbin/*              u-root's core commands, one binary under many names
//	/lib/modules/VER     the board's kernel modules with depmod's tables
//	/lib/firmware        the files those modules ask for, as far as they can be had
//	/etc                 users, OS release, certificate authorities, board.json
//	/usr/share/zoneinfo  time zones
//	/usr/share/pillarbox the file system that a disk for mail begins with
//
// The archive depends on the inputs alone: entries are sorted, owned by root,
// of one time. Processor microcode stands before it in an archive of its own,
// uncompressed, where the kernel looks before it unpacks anything.
package initramfs
