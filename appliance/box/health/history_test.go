package health

import (
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
)

// A clock that was never set begins in 1970, and what is a month before that has a
// place too.
func TestHistoryBefore1970(t *testing.T) {
	h, err := OpenHistory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{time.Unix(30, 0), time.Unix(-1e7, 0)} {
		if err := h.Add("a", now, 1); err != nil {
			t.Fatal(err)
		}
		for _, span := range []string{healthapi.SpanHour, healthapi.SpanDay, healthapi.SpanMonth, healthapi.SpanYear} {
			if _, err := h.Points("a", span, now); err != nil {
				t.Error(err)
			}
		}
	}
}
