package imapwire

import (
	"strings"
	"time"
)

const months = "JanFebMarAprMayJunJulAugSepOctNovDec"

func month(s string) (time.Month, bool) {
	if len(s) != 3 {
		return 0, false
	}
	for m := range 12 {
		if strings.EqualFold(months[m*3:m*3+3], s) {
			return time.Month(m + 1), true
		}
	}
	return 0, false
}

func digits(s string, least, most int) (int, bool) {
	if len(s) < least || len(s) > most {
		return 0, false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// Date takes a search date, in quotes or not (RFC 9051 section 9): midnight UTC of that day.
func (d *Decoder) Date() time.Time {
	t, ok := ParseDate(d.AString())
	if !ok {
		d.Fail("Date expected, as 1-Feb-1994")
	}
	return t
}

// ParseDate reads d-Mon-yyyy.
func ParseDate(s string) (time.Time, bool) {
	p := strings.Split(s, "-")
	if len(p) != 3 {
		return time.Time{}, false
	}
	day, ok1 := digits(p[0], 1, 2)
	mon, ok2 := month(p[1])
	year, ok3 := digits(p[2], 4, 4)
	if !ok1 || !ok2 || !ok3 || day < 1 || day > 31 {
		return time.Time{}, false
	}
	t := time.Date(year, mon, day, 0, 0, 0, 0, time.UTC)
	return t, t.Day() == day
}

// DateTime takes a date-time (RFC 9051 section 9), with its quotes.
func (d *Decoder) DateTime() time.Time {
	if d.Peek() != '"' {
		d.Fail("Date and time expected")
		return time.Time{}
	}
	t, ok := ParseDateTime(d.quoted())
	if !ok {
		d.Fail(`Date and time expected, as "01-Feb-1994 21:52:25 -0800"`)
	}
	return t
}

// ParseDateTime reads dd-Mon-yyyy hh:mm:ss +zzzz; the day may have a space or nothing before its only digit.
func ParseDateTime(s string) (time.Time, bool) {
	date, rest, ok := strings.Cut(strings.TrimPrefix(s, " "), " ")
	if !ok {
		return time.Time{}, false
	}
	day, ok := ParseDate(date)
	if !ok {
		return time.Time{}, false
	}
	clock, zone, ok := strings.Cut(rest, " ")
	if !ok || len(clock) != 8 || clock[2] != ':' || clock[5] != ':' || len(zone) != 5 {
		return time.Time{}, false
	}
	h, ok1 := digits(clock[:2], 2, 2)
	m, ok2 := digits(clock[3:5], 2, 2)
	sec, ok3 := digits(clock[6:], 2, 2)
	zh, ok4 := digits(zone[1:3], 2, 2)
	zm, ok5 := digits(zone[3:], 2, 2)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || h > 23 || m > 59 || sec > 60 || zh > 23 || zm > 59 {
		return time.Time{}, false
	}
	off := zh*3600 + zm*60
	switch zone[0] {
	case '+':
	case '-':
		off = -off
	default:
		return time.Time{}, false
	}
	return time.Date(day.Year(), day.Month(), day.Day(), h, m, sec, 0, time.FixedZone("", off)), true
}

// AppendDateTime writes a time as date-time, with its quotes.
func AppendDateTime(b []byte, t time.Time) []byte {
	year, mon, day := t.Date()
	h, m, s := t.Clock()
	_, off := t.Zone()
	sign := byte('+')
	if off < 0 {
		sign, off = '-', -off
	}
	off /= 60
	two := func(n int) { b = append(b, byte('0'+n/10%10), byte('0'+n%10)) }
	b = append(b, '"')
	if day < 10 {
		b = append(b, ' ', byte('0'+day))
	} else {
		two(day)
	}
	b = append(b, '-')
	b = append(b, months[(mon-1)*3:mon*3]...)
	b = append(b, '-')
	year = min(max(year, 0), 9999)
	two(year / 100)
	two(year % 100)
	b = append(b, ' ')
	two(h)
	b = append(b, ':')
	two(m)
	b = append(b, ':')
	two(s)
	b = append(b, ' ', sign)
	two(off / 60)
	two(off % 60)
	return append(b, '"')
}
