//go:build vm

package vmtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pillarbox/cmd/qemu/vm"
)

// mailDisk is the serial number of the disk that mail is kept on, and mailDiskSize
// its size, which the system disk's data volume does not have.
const (
	mailDisk     = "MAIL7"
	mailDiskSize = 4 << 30
)

// slot is where a disk is plugged in while the box runs.
var slot = []string{"-device", "pcie-root-port,id=bay,slot=1"}

// TestMailOnAnotherDisk keeps mail on a second disk, which held something else: by
// the provisioning file. Without that disk the box says so and serves no mail, and
// goes on when it is plugged in. A copy beside it is told of; where the box cannot tell
// which is the copy it waits until one is left. A factory reset empties it too; then it is chosen
// in the wizard.
func TestMailOnAnotherDisk(t *testing.T) {
	system := newDisk(t, strings.Replace(provision, "[box]", "[box]\ndata_disk = \""+mailDisk+"\"", 1))
	second := filepath.Join(t.TempDir(), "second.img")
	if err := os.WriteFile(second, []byte(strings.Repeat("what was there before ", 1<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(second, mailDiskSize); err != nil {
		t.Fatal(err)
	}
	plugged := []string{"-drive", "if=none,id=second," + raw(second), "-device", "nvme,id=nvme,drive=second,serial=" + mailDisk}

	t.Run("first boot", func(t *testing.T) {
		b := startWith(t, vm.Config{Drive: raw(system), Extra: plugged})
		b.expect(bootLimit, `mail is kept on the disk nvme0n1`)
		b.served()
		must(t, "", "swaks", "--server", "127.0.0.1", "--port", b.port(465), "--tlsc", "--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", annPassword,
			"--from", "ann@example.org", "--to", "bob@example.org", "--header", "Subject: on the second disk", "--timeout", "300")
		b.holds("on the second disk")
		b.pressButton()
		if strings.Contains(b.Serial.Text(), "did not stop") {
			t.Error("the kernel's complaint of the watchdog is on the screen")
		}
	})
	if t.Failed() {
		return
	}
	volume := fmt.Sprintf("%s?offset=%d", second, volumeStart(t, second, "PBX-DATA"))
	must(t, "", "/sbin/e2fsck", "-fn", volume)
	if out := must(t, "", "/sbin/debugfs", "-R", "ls -l /", volume); !strings.Contains(out, "store") {
		t.Errorf("the second disk has\n%s", out)
	}
	own := fmt.Sprintf("%s?offset=%d", system, volumeStart(t, system, "PBX-DATA"))
	if out := must(t, "", "/sbin/debugfs", "-R", "ls -l /", own); strings.Contains(out, "store") || !strings.Contains(out, "mail-is-on-another-disk") {
		t.Errorf("the system disk has\n%s", out)
	}

	t.Run("without the disk", func(t *testing.T) {
		b := startWith(t, vm.Config{Drive: raw(system), Extra: slot})
		b.shows(bootLimit, `LOOK HERE`)
		b.shows(clientLimit, `(?s)The disk that mail is kept on is not there: .*`+mailDisk+`.*Connect it, and\s+the\s+box`)
		if text := b.Serial.Text(); strings.Contains(text, "mail is served") || strings.Contains(text, "Welcome") {
			t.Error("the box began anew without its mail")
		}
		b.monitor("drive_add 0 if=none,id=second,"+raw(second), "OK")
		b.monitor("device_add nvme,id=nvme,drive=second,bus=bay,serial="+mailDisk, "")
		b.served()
		b.shows(clientLimit, `ALL WELL`)
		b.holds("on the second disk")
		b.pressButton()
	})
	if t.Failed() {
		return
	}

	third := filepath.Join(t.TempDir(), "third.img")
	if err := vm.CopySparse(third, second, 0); err != nil {
		t.Fatal(err)
	}
	beside := slices.Concat(slot, []string{"-drive", "if=none,id=third," + raw(third), "-device", "nvme,id=copy,drive=third,bus=bay,serial=COPY8"})

	t.Run("with a copy beside it", func(t *testing.T) {
		b := startWith(t, vm.Config{Drive: raw(system), Extra: slices.Concat(plugged, beside)})
		b.served()
		b.shows(clientLimit, `(?s)There\s+is\s+a\s+copy\s+of\s+the\s+disk\s+that\s+mail\s+is\s+kept\s+on:.*COPY8`)
		b.holds("on the second disk")
		b.pressButton()
	})
	t.Run("with two that may be it", func(t *testing.T) {
		other := slices.Clone(plugged)
		other[len(other)-1] = "nvme,id=nvme,drive=second,serial=OTHER9"
		b := startWith(t, vm.Config{Drive: raw(system), Extra: slices.Concat(other, beside)})
		b.shows(bootLimit, `(?s)Several\s+disks\s+hold\s+the\s+same\s+mail,.*COPY8`)
		if text := b.Serial.Text(); strings.Contains(text, "mail is served") || strings.Contains(text, "Welcome") {
			t.Error("the box has guessed, or began anew")
		}
		b.monitor("device_del copy", "")
		b.served()
		b.shows(clientLimit, `ALL WELL`)
		b.holds("on the second disk")
		b.pressButton()
	})
	if t.Failed() {
		return
	}

	t.Run("factory reset", func(t *testing.T) {
		must(t, "write /dev/null factory-reset\n", "/sbin/debugfs", "-w", "-f", "-", stateVolume(t, system))
		b := startWith(t, vm.Config{Drive: raw(system), Extra: plugged})
		b.expect(bootLimit, `factory reset: removing all mail from nvme0n1`)
		b.expect(bootLimit, `factory reset: done`)
		b.shows(bootLimit, `Welcome \(1/10\)`) // with the question which disk
		if out := must(t, "", "/sbin/debugfs", "-R", "ls -l /", volume); strings.Contains(out, "store") {
			t.Errorf("after a factory reset the second disk has\n%s", out)
		}
		b.choosesTheDisk()
		b.pressButton()
	})
	if out := must(t, "", "/sbin/debugfs", "-R", "ls -l /", fmt.Sprintf("%s?offset=%d", second, volumeStart(t, second, "PBX-DATA"))); !strings.Contains(out, "store") {
		t.Errorf("the second disk, chosen in the wizard, has\n%s", out)
	}
}

// TestDiskThatCanOnlyBeRead wears the system disk out: the box says so, is locked as
// ever, and does not take itself for a new one.
func TestDiskThatCanOnlyBeRead(t *testing.T) {
	system := newDisk(t, provision)
	b := startWith(t, vm.Config{Drive: raw(system)})
	b.served()
	b.pressButton()
	b = startWith(t, vm.Config{Drive: raw(system) + ",readonly=on"})
	b.shows(bootLimit, `LOOK HERE`)
	b.shows(clientLimit, `(?s)its\s+disk\s+can\s+only\s+be\s+read`)
	if text := b.Serial.Text(); strings.Contains(text, "mail is served") || strings.Contains(text, "Welcome") {
		t.Error("the box began anew")
	}
	b.shows(clientLimit, `mail\.example\.org`)
	b.pressButton()
}

// choosesTheDisk sets the box up in its wizard, with mail on the second disk.
func (b *box) choosesTheDisk() {
	const admin = "the box opens to this"
	b.typed("\r")
	b.shows(clientLimit, `Network \(2/10\)`)
	b.typed("\r")
	b.shows(clientLimit, `Names \(3/10\)`)
	b.typed("example.org\r\r")
	b.shows(clientLimit, `Administrator \(4/10\)`)
	b.typed(admin + "\r" + admin + "\r")
	b.shows(clientLimit, `First mailbox \(5/10\)`)
	b.typed("bob\r\r" + bobPassword + "\r" + bobPassword + "\r")
	b.shows(clientLimit, `Sending \(6/10\)`)
	b.typed("\x1b[A\r")
	b.shows(clientLimit, `Certificate \(7/10\)`)
	b.typed("\r")
	b.shows(clientLimit, `Time zone \(8/10\)`)
	b.typed("berlin\r")
	b.shows(clientLimit, `Disk for mail \(9/10\)`)
	b.shows(clientLimit, `> vda: .*\(system disk\)`)
	b.typed("\x1b[A")
	b.shows(clientLimit, `a mail volume of another Pillarbox`)
	b.typed("\r")
	b.shows(clientLimit, `nvme0n1: Everything on this disk is overwritten`)
	b.typed("\r")
	b.shows(bootLimit, `The box is set up and carries mail\.`)
	must(b.t, "", "swaks", "--server", "127.0.0.1", "--port", b.port(465), "--tlsc", "--auth", "PLAIN", "--auth-user", "bob@example.org", "--auth-password", bobPassword,
		"--from", "bob@example.org", "--to", "bob@example.org", "--header", "Subject: after the wizard", "--timeout", "300")
	b.holds("after the wizard")
}

// holds fails unless bob's mailbox has one message, with these words.
func (b *box) holds(words string) {
	b.t.Helper()
	c, err := dialIMAP(b.Addr(993), "bob@example.org", bobPassword)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.close()
	if got, err := c.messages("INBOX"); err != nil || len(got) != 1 || !strings.Contains(got[0], words) {
		b.t.Errorf("bob has %q, %v", got, err)
	}
}

// monitor gives QEMU a command whose answer is to begin with want, or to be empty.
func (b *box) monitor(command, want string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientLimit)
	defer cancel()
	out, err := b.Monitor(ctx, command)
	if out = strings.TrimSpace(out); err != nil || !strings.HasPrefix(out, want) || want == "" && out != "" {
		b.t.Fatalf("%s: %q, %v", command, out, err)
	}
}
