package console

import (
	"context"
	"slices"
	"testing"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
)

// What the page has no room for is what can wait longest: never that no mail is
// taken, however much is the matter with the machine.
func TestWhatCannotWaitComesFirst(t *testing.T) {
	const (
		store    = "The mail store cannot be written to: input/output error."
		dying    = "maild keeps dying: exit status 2"
		firewall = "the firewall is not as it should be: no such file"
	)
	s := &Sockets{
		Init: saysInit{problems: []string{dying}},
		Box:  saysBox{problems: []string{firewall}},
		Mail: saysMail{problems: []string{store}},
		Health: saysHealth{states: []healthapi.State{
			{ID: "ups/rack/mains", Level: healthapi.Bad, What: "The mains have failed.", Do: "Bring them back."},
			{ID: "service/maild", Level: healthapi.Bad, What: "said by init"},
			{ID: "mail/store", Level: healthapi.Bad, What: store},
			{ID: "box/firewall", Level: healthapi.Watch, What: firewall},
			{ID: "fan/1", Level: healthapi.Watch, What: "A fan is slow."},
		}},
	}
	st, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{store, "The mains have failed. Bring them back.", dying, firewall, "A fan is slow."}
	if !slices.Equal(st.Problems, want) {
		t.Errorf("the page says %q, want %q", st.Problems, want)
	}
}

// The daemons as far as they say what is the matter.
type (
	saysInit struct {
		initapi.Service
		problems []string
	}
	saysBox struct {
		boxapi.Service
		problems []string
	}
	saysMail struct {
		mailapi.Service
		problems []string
	}
	saysHealth struct {
		healthapi.Service
		states []healthapi.State
	}
)

func (s saysInit) Status(context.Context) (*initapi.Status, error) {
	return &initapi.Status{Problems: s.problems}, nil
}

func (saysInit) Services(context.Context) ([]initapi.ServiceStatus, error) { return nil, nil }
func (saysInit) Events(context.Context) ([]initapi.Event, error)           { return nil, nil }

func (saysInit) StreamLog(context.Context, initapi.LogQuery, func(initapi.LogItem) error) error {
	return wire.NotFound("init has not logged anything")
}

func (s saysBox) Status(context.Context) (*boxapi.Status, error) {
	return &boxapi.Status{Problems: s.problems}, nil
}

func (s saysMail) Status(context.Context) (*mailapi.Status, error) {
	return &mailapi.Status{Problems: s.problems}, nil
}

func (s saysHealth) Status(context.Context) (*healthapi.Status, error) {
	return &healthapi.Status{States: s.states}, nil
}
