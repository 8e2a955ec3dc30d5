package health

import (
	"errors"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
)

func TestSilence(t *testing.T) {
	var d daemons
	d.silentSince = map[string]time.Time{}
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	refused := errors.New("connection refused")
	for _, step := range []struct {
		after time.Duration
		err   error
		want  healthapi.Level
	}{
		{0, refused, healthapi.OK}, // it is starting
		{silenceBad - time.Second, refused, healthapi.OK},
		{silenceBad, refused, healthapi.Bad},
		{silenceBad + time.Second, nil, healthapi.OK},
		{silenceBad + 2*time.Second, refused, healthapi.OK}, // a new silence counts from its own beginning
		{2*silenceBad + 2*time.Second, refused, healthapi.Bad},
	} {
		f := d.silent("maild", begin.Add(step.after), step.err)
		if f.level != step.want || (f.what == "") != (step.want == healthapi.OK) {
			t.Errorf("after %v, %v: level %v, %q", step.after, step.err, f.level, f.what)
		}
	}
	if f := d.silent("boxd", begin.Add(time.Hour), refused); f.level != healthapi.OK {
		t.Errorf("the silence of one daemon was taken for another's: %+v", f)
	}
}
