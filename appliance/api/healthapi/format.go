package healthapi

import (
	"fmt"
	"time"
)

const day = 24 * time.Hour

// Text is the value for people.
func (r Reading) Text() string { return Format(r.Kind, r.Value) }

// Format writes a value with its unit, for people.
func Format(kind string, v float64) string {
	switch kind {
	case Temperature:
		return fmt.Sprintf("%.0f °C", v)
	case Fan:
		return fmt.Sprintf("%.0f rpm", v)
	case Voltage:
		return fmt.Sprintf("%.2f V", v)
	case Current:
		return fmt.Sprintf("%.2f A", v)
	case Power:
		return fmt.Sprintf("%.0f W", v)
	case Percent:
		return fmt.Sprintf("%.0f %%", v)
	case Octets:
		for _, u := range []struct {
			size float64
			name string
		}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
			if v >= u.size {
				return fmt.Sprintf("%.1f %s", v/u.size, u.name)
			}
		}
		return fmt.Sprintf("%.0f B", v)
	case Seconds:
		switch d := time.Duration(v * float64(time.Second)); {
		case d.Abs() < 10*time.Second:
			return fmt.Sprintf("%.2gs", v)
		case d.Abs() < 2*day:
			return d.Round(time.Second).String()
		default:
			return fmt.Sprintf("%.0f days", d.Hours()/24)
		}
	case Days:
		return fmt.Sprintf("%.0f days", v)
	case Load:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
