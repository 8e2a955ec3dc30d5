package health

import (
	"context"
	"errors"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
)

// namesOf is a box whose name servers answer or not.
type namesOf struct {
	boxOf
	asked []string
	tried boxapi.NetworkTest
	fails error
}

func (b *namesOf) TestNetwork(_ context.Context, r boxapi.TestRequest) (*boxapi.NetworkTest, error) {
	b.asked = append(b.asked, r.Test)
	return &b.tried, b.fails
}

// That no name server answers is told when it has been so for a while, and no
// longer once one does; that boxd is silent says nothing of them.
func TestNameServers(t *testing.T) {
	b := &namesOf{tried: boxapi.NetworkTest{Detail: "192.0.2.53: NXDOMAIN"}}
	m := monitor(t, Config{Init: silentInit{}, Box: b, Mail: silentMail{}})
	for i, step := range []struct {
		ok   bool
		err  error
		want healthapi.Level
	}{
		{false, nil, healthapi.OK}, {false, nil, healthapi.OK}, {true, nil, healthapi.OK},
		{false, nil, healthapi.OK}, {false, nil, healthapi.OK}, {false, errors.New("silent"), healthapi.OK}, {false, nil, healthapi.OK},
		{false, nil, healthapi.Watch}, {false, errors.New("silent"), healthapi.Watch}, {false, nil, healthapi.Watch}, {true, nil, healthapi.OK},
	} {
		b.tried.OK, b.fails = step.ok, step.err
		m.names(t.Context(), time.Now())
		f := m.groups["names"].findings
		if len(f) != 1 || f[0].level != step.want {
			t.Fatalf("try %d: %+v, want %v", i+1, f, step.want)
		}
		if step.want == healthapi.Watch && f[0].what != "No name server answers as it should: 192.0.2.53: NXDOMAIN." {
			t.Errorf("try %d: %q", i+1, f[0].what)
		}
		if b.asked[i] != boxapi.TestDNS {
			t.Errorf("asked for %q", b.asked[i])
		}
	}
}
