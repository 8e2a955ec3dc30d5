package health

import (
	"fmt"
	"strings"

	"pillarbox/appliance/api/healthapi"
)

// describe says in sentences what a reading beyond a limit means.
func describe(r healthapi.Reading, level healthapi.Level) finding {
	f := finding{id: r.ID, level: level}
	low := r.WatchLow != nil && r.Value <= *r.WatchLow || r.BadLow != nil && r.Value <= *r.BadLow
	value, limit := r.Text(), limitOf(r, level)
	switch r.Kind {
	case healthapi.Temperature:
		f.what = fmt.Sprintf("It is too hot: %s has %s, the limit is %s.", r.Name, value, limit)
		f.means = "Heat wears the parts out, and at the limit the machine slows down or stops."
		f.do = "Let air pass around the box, look at the fans, remove dust, cool the room."
		if low {
			f.what = fmt.Sprintf("It is too cold: %s has %s.", r.Name, value)
			f.means, f.do = "Water may form on the parts.", "Warm the room."
		}
	case healthapi.Fan:
		f.what = fmt.Sprintf("A fan is too slow: %s turns at %s, the limit is %s.", r.Name, value, limit)
		f.means, f.do = "It may stop soon, and the box will get hot.", "Clean it, or replace it."
		if r.Value == 0 {
			f.what = fmt.Sprintf("A fan stands still: %s.", r.Name)
			f.means = "The box will get hot."
		}
	case healthapi.Voltage, healthapi.Current, healthapi.Power:
		f.what = fmt.Sprintf("The supply is out of bounds: %s is at %s, the limit is %s.", r.Name, value, limit)
		f.means, f.do = "The power supply or the board may be failing.", "Look at the power supply; have a second one ready."
	case healthapi.Days:
		f.what = fmt.Sprintf("The disk will be full in about %.0f days if mail goes on growing as it did.", r.Value)
		if r.Value < 2 {
			f.what = "The disk will be full within two days if mail goes on growing as it did."
		}
		f.means, f.do = meaningOf("space/data")
	default:
		f.what = capital(fmt.Sprintf("%s: %s, the limit is %s.", r.Name, value, limit))
		f.means, f.do = meaningOf(r.ID)
	}
	return f
}

// meaningOf explains the readings that no kind explains.
func meaningOf(id string) (means, do string) {
	switch {
	case strings.HasPrefix(id, "memory/") && strings.HasSuffix(id, "/uncorrected"):
		return "Memory has lost data. Programs may have been damaged, and it will happen again.", "Switch the box off, replace the memory module, then check the mail store."
	case strings.HasPrefix(id, "memory/"):
		return "A memory module makes errors that could still be set right. It may get worse.", "Replace the memory module when it suits."
	case strings.HasPrefix(id, "space/state"):
		return "Settings and logs find no room.", "Send a support bundle: this should not happen."
	case strings.HasPrefix(id, "space/"):
		return "When the disk is full no more mail is taken; what is there stays readable.", "Remove mail, set storage limits, or add a larger disk."
	case strings.HasSuffix(id, "/wear"):
		return "The disk comes to the end of the writes it was made for.", "Replace it within the next weeks, after a backup."
	case strings.HasSuffix(id, "/spare"):
		return "The disk runs out of blocks to replace bad ones with.", "Replace it soon, after a backup."
	case strings.HasSuffix(id, "/pending"):
		return "The disk has places it could not read. Mail on them may be lost.", "Check the mail store, make a backup, replace the disk."
	case strings.HasSuffix(id, "/reallocated"):
		return "The disk has replaced bad places. More may follow.", "Make a backup and have a new disk ready."
	case strings.HasSuffix(id, "/uncorrected"):
		return "The disk has lost data.", "Make a backup now, replace the disk, check the mail store."
	case strings.HasSuffix(id, "/cable"):
		return "What the disk says arrives damaged and is sent again.", "Plug the disk's cable in again, or replace it."
	case strings.HasPrefix(id, "system/memory"):
		return "The box may have to stop a program.", "Look at the logs; restart the box when it suits."
	case strings.HasPrefix(id, "mail/queue"):
		return "Mail to others has not gone out for a long time.", "Look at the mail that waits, and at the connection to the Internet."
	case strings.HasPrefix(id, "mail/probe"):
		return "Mail is taken slowly: the disk or the processor has too much to do.", "Look at the load and at the disks."
	case strings.HasPrefix(id, "mail/certificate"):
		return "When the certificate ends, mail programs refuse to connect.", "Renew the certificate."
	case strings.HasPrefix(id, "ipmi/"):
		return "A part of the server is not as it should be.", "Look at the server's lights; ask its maker what this sensor means."
	case strings.HasPrefix(id, "clock/"):
		return "A wrong clock gives mail wrong dates and makes certificates look invalid.", "Look at the time servers in the network settings."
	}
	return "", ""
}

// limitOf is the limit that makes a reading what it is, for people: of two, the
// one that is nearer.
func limitOf(r healthapi.Reading, level healthapi.Level) string {
	low, high := r.WatchLow, r.WatchHigh
	if level == healthapi.Bad {
		low, high = r.BadLow, r.BadHigh
	}
	switch {
	case low == nil && high == nil:
		return "-" // no reading is anything without a limit
	case low == nil, high != nil && r.Value > (*low+*high)/2:
		return healthapi.Format(r.Kind, *high)
	}
	return healthapi.Format(r.Kind, *low)
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
