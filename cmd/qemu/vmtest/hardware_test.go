//go:build vm

package vmtest

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/cmd/qemu/vm"
)

const (
	// noticed is what the box has to show on its console what is the matter.
	noticed = 10 * time.Minute

	// told is what it has from there to the mail to the administrator.
	told = 10 * time.Minute
)

// smallDisk leaves the data volume room for the store's reserve and for what it
// keeps free, and for a few megabytes of mail.
const smallDisk = 2944 << 20

// TestHardware lets the machine under a box fail piece by piece. Each time the
// console must say so and the administrator, ann, must have mail about it.
func TestHardware(t *testing.T) {
	power := newUPSServer(t)
	path := newDiskOf(t, smallDisk, strings.NewReplacer(
		`mode = "dhcp"`, `mode = "dhcp"`+"\n"+`ntp = ["`+timeServer(t)+`"]`,
		`aliases = ["info@example.org"]`, `admin = true`,
	).Replace(provision))
	writeState(t, path, "health/settings.json", `{"ups": "`+power.where+`"}`)
	t.Run("first boot", func(t *testing.T) {
		drive, disk := serveNBD(t, path)
		b := startWith(t, vm.Config{Drive: drive, Extra: []string{
			"-rtc", "base=2001-01-01",
			"-device", "i6300esb", "-watchdog-action", "reset",
			"-drive", "if=none,id=spare,driver=null-co,size=64M", "-device", "nvme,id=nvme,drive=spare,serial=SPARE1",
			"-device", "ipmi-bmc-sim,id=bmc,sdrfile=" + hotInlet(t), "-device", "isa-ipmi-kcs,bmc=bmc",
		}})
		b.served()
		b.shows(clientLimit, `M: menu`)
		t.Run("small things", func(t *testing.T) { b.in(t).smallThings(power) })
		t.Run("watchdog", func(t *testing.T) { b.in(t).hang() })
		t.Run("full disk", func(t *testing.T) {
			b := b.in(t)
			b.fill()
			// The services are asked before the UPS: they have been by then.
			power.set("OB DISCHRG")
			b.says(`The mains have failed`)
		})
		t.Run("broken disk", func(t *testing.T) {
			b := b.in(t)
			disk.Break(volumeStart(t, path, "PBX-DATA"), smallDisk)
			b.flag()
			b.says(`The mail store cannot be written to`)
			power.set("OL CHRG")
			b.clears(noticed, `The mains have failed`)
		})
		b.turnOff()
	})
	if t.Failed() {
		return
	}
	t.Run("another disk", func(t *testing.T) {
		if err := os.Truncate(path, vm.DiskSize); err != nil {
			t.Fatal(err)
		}
		b := boot(t, raw(path))
		b.mailed(`The disk is full`)
		b.mailed(`has failed to write`)
		b.storeInOrder()
		b.pressButton()
	})
	figures(t, path)
}

// smallThings lets parts fail that mail goes on without.
func (b *box) smallThings(power *upsServer) {
	b.says(`the clock showed 2001-01-01`)
	b.says(`in step with a time server`)
	b.batteryClock()
	b.set("/machine/peripheral/nvme", "smart_critical_warning", 1<<2)
	b.link("net", false)
	b.says(`The network card eth0 has lost its link`)
	b.link("net", true)
	power.set("OB DISCHRG")
	b.says(`It is too hot: Air inlet has 90 °C, the limit is 75 °C`)
	b.says(`says that it is failing: it is not reliable any more`)
	b.says(`The mains have failed; the box runs from the UPS battery. About 21`)
	for _, words := range []string{
		`The clock showed 2001-01-01`, `has lost its link`, `Air inlet has 90`, `it is not reliable any more`, `The mains have failed`,
	} {
		b.mailed(words)
	}
	power.set("OL CHRG")
	b.set("/machine/peripheral/nvme", "smart_critical_warning", 0)
	b.clears(noticed, `The mains have failed|is failing`)
}

// batteryClock waits until the clock that runs on while the machine is off is
// right as well: it began in 2001.
func (b *box) batteryClock() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientLimit)
	defer cancel()
	year := regexp.MustCompile(fmt.Sprintf(`"tm_year": %d\b`, time.Now().UTC().Year()-1900))
	for {
		shown, err := b.Monitor(ctx, "qom-get /machine rtc-time")
		if err != nil {
			b.t.Fatal(err)
		}
		if year.MatchString(shown) {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			b.t.Fatalf("the hardware clock was not set: %s", shown)
		}
	}
}

// hang lets the whole machine hang until its watchdog restarts it.
func (b *box) hang() {
	ctx, cancel := context.WithTimeout(context.Background(), clientLimit)
	defer cancel()
	if err := b.Hang(ctx); err != nil {
		b.t.Fatal(err)
	}
	b.served()
	b.says(`The watchdog has restarted the box: the whole system hung`)
	b.mailed(`The watchdog has restarted the box`)
}

// fill sends mail until the box takes no more, which it must say in time, and
// what it took must stay readable.
func (b *box) fill() {
	b.t.Helper()
	c, err := dialIMAP(b.Addr(993), "ann@example.org", annPassword)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.close()
	rng := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for ; taken < fillMost; taken++ {
		if err = send(b.Addr(25), bigLetter(rng)); err != nil {
			break
		}
	}
	if reply, ok := errors.AsType[*textproto.Error](err); !ok || reply.Code != 452 {
		b.t.Fatalf("after %d messages of %d bytes: %v, want 452", taken, fillSize, err)
	}
	b.t.Logf("refused after %d messages of %d bytes: %v", taken, fillSize, err)
	b.says(`The disk is nearly full: no new mail is taken until there is room`)
	if _, err := c.command("EXAMINE INBOX"); err != nil {
		b.t.Fatal(err)
	}
	last, err := c.command("FETCH * BODY.PEEK[]")
	if err != nil || len(last) != 1 || len(last[0]) < fillSize {
		b.t.Errorf("the last of the messages cannot be read: %d, %v", len(last), err)
	}
}

// flag changes a flag of a message, which writes to the disk.
func (b *box) flag() {
	b.t.Helper()
	c, err := dialIMAP(b.Addr(993), "ann@example.org", annPassword)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.close()
	if _, err := c.command("SELECT INBOX"); err != nil {
		b.t.Fatal(err)
	}
	if _, err := c.command("STORE 1 +FLAGS.SILENT (\\Flagged)"); err == nil {
		b.t.Error("a flag was changed on a disk that takes nothing")
	}
}

const (
	// fillSize and fillMost are messages enough to fill smallDisk.
	fillSize = 12 << 20
	fillMost = 40
)

// bigLetter makes a message that no compression makes smaller.
func bigLetter(rng *rand.Rand) []byte {
	raw := make([]byte, fillSize*3/4)
	for i := 0; i+8 <= len(raw); i += 8 {
		binary.LittleEndian.PutUint64(raw[i:], rng.Uint64())
	}
	text := []byte("From: big@elsewhere.example\r\nTo: ann@example.org\r\nSubject: big\r\n\r\n")
	for line := range slices.Chunk(raw, 57) {
		text = append(base64.StdEncoding.AppendEncode(text, line), "\r\n"...)
	}
	return text
}

// in is the box for a part of a test.
func (b *box) in(t *testing.T) *box { return &box{b.VM, t, b.dir} }

// set changes a property of a simulated device.
func (b *box) set(path, property string, value any) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientLimit)
	defer cancel()
	if err := b.Set(ctx, path, property, value); err != nil {
		b.t.Fatal(err)
	}
}

// says waits until the screen on the serial line shows a sentence, on as many
// lines as it takes.
func (b *box) says(sentence string) {
	b.t.Helper()
	words := strings.Fields(sentence)
	for i := range words {
		words[i] = regexp.QuoteMeta(words[i])
	}
	b.shows(noticed, strings.Join(words, `\s+`))
}

// clears waits until the screen on the serial line does not show a pattern.
func (b *box) clears(limit time.Duration, pattern string) {
	b.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(limit); re.MatchString(b.Serial.Screen()); time.Sleep(keyAnswer) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%q stays on the screen:\n%s", pattern, b.Serial.Screen())
		}
	}
}

// turnOff presses the power button of a box that need not go off in order.
func (b *box) turnOff() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	if err := b.Powerdown(ctx); err != nil {
		b.t.Fatal(err)
	}
	if err := b.Wait(ctx); err != nil {
		b.t.Fatal(err)
	}
}

// mailed waits until the administrator has mail of the box with a text in it.
func (b *box) mailed(want string) {
	b.t.Helper()
	began := time.Now()
	var last error
	for time.Since(began) < told {
		c, err := dialIMAP(b.Addr(993), "ann@example.org", annPassword)
		if last = err; err != nil {
			time.Sleep(time.Second)
			continue
		}
		list, err := c.messages("INBOX")
		c.close()
		last = err
		for _, m := range list {
			if strings.Contains(unfold(m), want) {
				b.t.Logf("mail with %q after %.0f s", want, time.Since(began).Seconds())
				return
			}
		}
		time.Sleep(time.Second)
	}
	b.t.Errorf("no mail with %q: %v", want, last)
}

// unfold takes the line ends out of quoted-printable text.
func unfold(text string) string {
	return regexp.MustCompile(`=\r\n`).ReplaceAllString(text, "")
}

// writeState puts a file on the state volume of a disk, the box being off.
func writeState(t *testing.T, disk, path, content string) {
	t.Helper()
	from := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(from, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, fmt.Sprintf("mkdir %s\nwrite %s %s\n", filepath.Dir(path), from, path), "/sbin/debugfs", "-w", "-f", "-", stateVolume(t, disk))
}
