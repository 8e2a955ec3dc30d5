package health

import (
	"fmt"
	"regexp"
	"sync"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/box/kmsg"
)

// complaintShown is how long a complaint of the kernel's stays a state after it
// was last heard. Most come in bursts; a person may look the next day.
const complaintShown = 24 * time.Hour

// linkTroubles are how many troubles of a link to a disk are no accident: some
// controllers have one as they start.
const linkTroubles = 3

// complaint is a kind of message of the kernel's that somebody should hear of.
// The name that stands in a group of the pattern keeps them apart.
type complaint struct {
	id              string
	pattern         *regexp.Regexp
	level           healthapi.Level
	what, means, do string // what may have one %s, the name
	least           int    // how often it must be heard; 0: once
}

// complaints are read and never written. The texts are those of the kernel's
// block layer, libata, ext4, md, x86 machine checks, out-of-memory killer and
// hung-task detector, as of 5.10 to 6.12.
var complaints = []complaint{
	{"kernel/io/", regexp.MustCompile(`(?:I/O|critical medium|critical target|protection|print_req_error: .*) error, dev (\w+)`), healthapi.Bad,
		"The disk %s has failed to read or write.", "What is stored there may be lost.", "Make a backup now, look at the disk's other readings, replace it.", 0},
	{"kernel/bus/", regexp.MustCompile(`^(ata\d+)(?:\.\d+)?: (?:hard resetting link|failed command|SError)`), healthapi.Watch,
		"The connection to a disk fails now and then (%s).", "The disk, its cable or its controller may be failing.", "Plug the disk's cable in again when the box is off; look at the disk's readings.", linkTroubles},
	{"kernel/bus/", regexp.MustCompile(`^nvme (nvme\d+): (?:I/O .*timeout|controller is down|Abort status|Device not ready)`), healthapi.Bad,
		"The disk %s does not answer in time.", "It may be failing.", "Make a backup; replace the disk.", 0},
	{"kernel/fs/", regexp.MustCompile(`EXT4-fs error \(device (\w+)\)`), healthapi.Bad,
		"The file system on %s has errors.", "What is stored there may be lost.", "Make a backup now, restart the box so that it is checked, look at the disk.", 0},
	{"kernel/raid/", regexp.MustCompile(`md/raid.*?:(md\w+): Disk failure`), healthapi.Bad,
		"A disk of the array %s has failed.", "Everything still works, but the failure of one more disk loses what is on it.", "Replace the disk that failed.", 0},
	// Errors that were set right come first: of a status in hexadecimal digits bit
	// 61 says that it was not (Intel 64 manual, volume 3B, IA32_MCi_STATUS).
	{"kernel/mce/corrected", regexp.MustCompile(`\[Hardware Error\]: (?:Machine check events logged|Corrected error|event severity: corrected|CPU \d+: Machine Check: [0-9a-f]+ Bank \d+: [89cd][0-9a-f]{15})`), healthapi.Watch,
		"The hardware has made an error that could be set right (machine check).", "It may get worse.", "Look at temperatures and memory errors; if it comes again and again, ask the maker of the server.", 0},
	{"kernel/mce", regexp.MustCompile(`\[Hardware Error\]: (?:CPU \d+: Machine Check|Machine check: |.*Uncorrected|event severity: (?:recoverable|fatal|panic))`), healthapi.Bad,
		"The processor has reported an error of the hardware (machine check).", "The processor, the memory or the board may be failing.", "Look at temperatures and memory errors; make a support bundle and ask the maker of the server.", 0},
	{"kernel/heat", regexp.MustCompile(`(?:Core|Package) temperature.* above threshold`), healthapi.Watch,
		"The processor slows itself down because it is too hot.", "The box is slow, and its parts wear out.", "Look at the fans, remove dust, cool the room.", 0},
	{"kernel/pcie", regexp.MustCompile(`(?:AER|PCIe Bus Error).*Uncorrect`), healthapi.Bad,
		"A card or its slot has made an error that could not be set right.", "A network card, a disk or a controller may be failing.", "Look at which device stands in the log of the kernel; plug it in again when the box is off.", 0},
	{"kernel/oom", regexp.MustCompile(`Out of memory: Killed process \d+ \(([^)]*)\)`), healthapi.Watch,
		"Memory ran out, and the program %s was ended.", "It is started again by itself; work under way was lost, mail that was accepted was not.", "Look at the memory in use; give the box more.", 0},
	{"kernel/hung", regexp.MustCompile(`task (\S+):\d+ blocked for more than \d+ seconds`), healthapi.Watch,
		"The program %s waited minutes for the disk.", "A disk is very slow or about to fail.", "Look at the disk's readings.", 0},
	{"kernel/fault", regexp.MustCompile(`^(?:BUG: |Oops: |general protection fault|kernel BUG at )`), healthapi.Bad,
		"The kernel has made an error.", "A driver or the hardware may be at fault. Restarting makes it whole.", "Restart the box when it suits; make a support bundle.", 0},
}

// kernel remembers what the kernel complained of.
type kernel struct {
	mu    sync.Mutex
	heard map[string]*heard
}

type heard struct {
	finding
	last         time.Time
	times, least int
}

// take looks at one message.
func (k *kernel) take(now time.Time, r kmsg.Record) {
	for _, c := range complaints {
		m := c.pattern.FindStringSubmatch(r.Text)
		if m == nil {
			continue
		}
		f := finding{id: c.id, level: c.level, what: c.what, means: c.means, do: c.do}
		if len(m) > 1 {
			f.what = fmt.Sprintf(c.what, m[1])
			if c.id[len(c.id)-1] == '/' {
				f.id += m[1]
			}
		}
		k.mu.Lock()
		if k.heard == nil {
			k.heard = map[string]*heard{}
		}
		h := k.heard[f.id]
		if h == nil {
			h = &heard{}
			k.heard[f.id] = h
		}
		h.finding, h.last, h.least = f, now, c.least
		h.times++
		k.mu.Unlock()
		return
	}
}

// read gives what is still to be shown.
func (k *kernel) read(now time.Time) (found []finding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, h := range k.heard {
		f := h.finding
		switch age := now.Sub(h.last); {
		case age >= complaintShown+forget:
			delete(k.heard, id)
			continue
		case age >= complaintShown:
			f = finding{id: id} // well again, to be told
		case h.times < h.least:
			continue
		case h.times > 1:
			f.what += fmt.Sprintf(" It said so %d times since the box was started.", h.times)
		}
		found = append(found, f)
	}
	return found
}
