package health

import (
	"strings"
	"testing"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
)

func TestClockThatWasFarOff(t *testing.T) {
	const hour, day = 3600.0, 86400.0
	for _, tt := range []struct {
		stepped, uptime float64
		want            string
	}{
		{0, 60, ""},
		{30, 60, ""},
		{3 * hour, 60, "3h0m0s behind"},
		{-400 * day, 60, "9600h0m0s ahead"},
		{3 * hour, 2 * day, ""},
	} {
		f := steppedFar(&boxapi.Status{Uptime: tt.uptime, Clock: boxapi.Clock{Stepped: tt.stepped}})
		if told := f.level == healthapi.Watch; told != (tt.want != "") || !strings.Contains(f.what, tt.want) || told && (f.means == "" || f.do == "") {
			t.Errorf("set by %v s, %v s after the start: %+v", tt.stepped, tt.uptime, f)
		}
	}
}
