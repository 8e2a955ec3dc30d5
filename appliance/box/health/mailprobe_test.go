package health

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/mailapi"
)

// testMail answers probes as it is told.
type testMail struct {
	mailapi.Service
	result mailapi.ProbeResult
	err    error
	asked  int
}

func (m *testMail) Probe(context.Context) (*mailapi.ProbeResult, error) {
	m.asked++
	r := m.result
	return &r, m.err
}

func TestMailProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p mailProbe
		mail := &testMail{err: errors.New("connection refused")}
		if _, _, fresh := p.outcome(); fresh {
			t.Error("something is known before the first message")
		}
		good := mailapi.ProbeResult{Seconds: 0.02}
		hung := mailapi.ProbeResult{Seconds: 60, Step: "read the message", Failure: "deadline exceeded"}
		refused := mailapi.ProbeResult{Seconds: 0.01, Step: "hand in the message", Failure: "451 try later", Refused: true}
		for i, step := range []struct {
			after  time.Duration
			result mailapi.ProbeResult
			err    error
			asked  bool
			fails  bool
			level  healthapi.Level
		}{
			{0, good, errors.New("connection refused"), true, true, healthapi.OK},
			{10 * time.Second, good, nil, true, false, healthapi.OK},
			{10 * time.Second, hung, nil, false, false, healthapi.OK},
			{mailEvery, hung, nil, true, true, healthapi.Bad},
			{10 * time.Second, hung, nil, true, true, healthapi.Bad}, // at once again
			{10 * time.Second, good, nil, true, false, healthapi.OK},
			{mailEvery, refused, nil, true, false, healthapi.OK},
			{mailEvery, refused, nil, true, false, healthapi.Bad},
			{mailEvery, good, nil, true, false, healthapi.OK},
		} {
			time.Sleep(step.after)
			mail.asked, mail.result, mail.err = 0, step.result, step.err
			err := p.run(t.Context(), mail)
			if (err != nil) != step.fails || (mail.asked > 0) != step.asked {
				t.Errorf("step %d: %v, asked %d times", i, err, mail.asked)
			}
			r, f, fresh := p.outcome()
			if f.level != step.level || (f.what == "") != (f.level == healthapi.OK) {
				t.Errorf("step %d: %+v", i, f)
			}
			if fresh != (step.asked && step.err == nil) || fresh && r.Value != step.result.Seconds {
				t.Errorf("step %d: fresh %v, %+v", i, fresh, r)
			}
		}
	})
}
