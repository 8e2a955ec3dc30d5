#!/bin/sh
# Installs the Debian packages that building, running and testing use, as far
# as they are missing. `host-packages.sh --list` prints them instead.
set -eu

# Each line: the package, and what calls for it.
packages() {
	sed 's/ *#.*//; /^$/d' <<-'LIST'
		ca-certificates    # the module proxy and the package archive speak TLS
		dpkg               # dpkg-deb unpacks the kernel, the firmware, the boot loader
		e2fsprogs          # mke2fs makes the seeds of STATE and DATA
		kmod               # depmod orders the kernel modules
		gcc                # the race detector links with it
		libc6-dev
		git                # the version of an image; clones in tests
		qemu-system-x86    # `make run` and the VM tests
		ovmf               # UEFI firmware of the VM
		dosfstools         # fsck.vfat judges the FAT32 writer
		fdisk              # sfdisk judges the partition table
		mtools             # reads the ESP back; puts the provisioning file on it
		curl               # clients that the tests let in
		fetchmail
		getmail6
		isync
		libio-socket-ssl-perl   # TLS of Mail::IMAPClient
		libmail-imapclient-perl
		libnet-ssleay-perl # TLS of swaks
		libsasl2-modules   # logins of isync, which only recommends it
		mpop
		neomutt
		nodejs             # runs ImapFlow
		npm                # installs ImapFlow
		offlineimap3
		python3
		swaks
		xz-utils           # unpacks the messages of `make bench-store`
	LIST
}

if [ "${1-}" = --list ]; then
	packages
	exit
fi

missing=
for p in $(packages); do
	# Others' packages of nodejs contain npm, and conflict with Debian's.
	[ "$p" = npm ] && command -v npm >/dev/null && continue
	case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true) in
	installed) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
	root=sudo
	command -v sudo >/dev/null || {
		echo "missing packages:$missing" >&2
		echo "install them as root, or install sudo" >&2
		exit 1
	}
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$root apt-get -q update
# sudo keeps no environment, so the front end is named once more.
# shellcheck disable=SC2086 # the list is meant to be split
$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing
