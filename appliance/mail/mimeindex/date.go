package mimeindex

import (
	"strconv"
	"strings"
	"time"
)

// ParseDate reads a Date field as programs write it: RFC 5322 section 3.3, the
// obsolete forms of section 4.3, the order of ctime, and year, month and day as
// in ISO 8601. ok is false where
// there is no date in it; a day or an hour that cannot be, such as February 30,
// is none.
func ParseDate(s string) (t time.Time, ok bool) {
	var (
		day, year, hour, minute, second = -1, -1, 0, 0, 0
		month                           time.Month
		zone                            *time.Location
	)
	if t, err := time.Parse(time.RFC3339, strings.TrimSpace(s)); err == nil && t.Year() > 0 {
		return t, true
	}
	for _, w := range strings.FieldsFunc(withoutComments(s), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == '\r' || r == '\n' }) {
		switch {
		case strings.Contains(w, ":"):
			parts := strings.Split(w, ":")
			if len(parts) > 3 {
				return t, false
			}
			for i, p := range parts {
				p, _, _ = strings.Cut(p, ".")
				n, err := strconv.Atoi(p)
				if err != nil || n < 0 {
					return t, false
				}
				*[]*int{&hour, &minute, &second}[i] = n
			}
		case (w[0] == '+' || w[0] == '-') && len(w) >= 3 && isNumber(w[1:]):
			zone = offset(w)
		case isNumber(w):
			n, err := strconv.Atoi(w)
			switch {
			case err != nil:
				return t, false
			case day < 0 && len(w) <= 2:
				day = n
			case year < 0:
				year = n
				// RFC 5322 section 4.3: two and three digits.
				switch {
				case len(w) == 2 && n < 50:
					year += 2000
				case len(w) <= 3:
					year += 1900
				}
			}
		case strings.Count(w, "-") == 2: // 12-Jan-2024, 2024-01-12
			if day, month, year = ymd(strings.Split(w, "-")); day < 0 {
				return t, false
			}
		case strings.Count(w, "/") == 2: // 2024/01/12
			if day, month, year = ymd(strings.Split(w, "/")); day < 0 {
				return t, false
			}
		case month == 0 && monthOf(w) != 0:
			month = monthOf(w)
		case zone == nil && hour+minute+second >= 0 && namedZone(w) != nil:
			zone = namedZone(w)
		}
	}
	if zone == nil {
		zone = time.UTC
	}
	if day < 1 || month == 0 || year < 1 || year > 9999 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	t = time.Date(year, month, day, hour, minute, min(second, 59), 0, zone)
	if t.Day() != day || t.Month() != month {
		return time.Time{}, false
	}
	return t, true
}

// ymd reads the three parts of a date that is one word; day is -1 where it is
// none. Which of two numbers is the month is known after a year only.
func ymd(parts []string) (day int, month time.Month, year int) {
	if !isNumber(parts[0]) || !isNumber(parts[2]) {
		return -1, 0, 0
	}
	first, _ := strconv.Atoi(parts[0])
	last, _ := strconv.Atoi(parts[2])
	if len(parts[0]) == 4 && isNumber(parts[1]) {
		m, _ := strconv.Atoi(parts[1])
		if m > 12 {
			return -1, 0, 0
		}
		return last, time.Month(m), first
	}
	return first, monthOf(parts[1]), last
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func monthOf(s string) time.Month {
	if len(s) < 3 {
		return 0
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(s[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

// offset reads +hhmm; nonsense is UTC.
func offset(s string) *time.Location {
	n, err := strconv.Atoi(s[1:])
	if err != nil || n > 2400 || n%100 > 59 {
		return time.UTC
	}
	sec := (n/100*60 + n%100) * 60
	if s[0] == '-' {
		sec = -sec
	}
	return time.FixedZone("", sec)
}

// namedZone knows the zones of RFC 5322 section 4.3. The military letters are
// UTC, for they were defined the wrong way round.
func namedZone(s string) *time.Location {
	hours := map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "UT": 0, "GMT": 0, "UTC": 0, "Z": 0, "CET": 1, "CEST": 2}
	h, ok := hours[strings.ToUpper(s)]
	if !ok {
		return nil
	}
	return time.FixedZone("", h*3600)
}
