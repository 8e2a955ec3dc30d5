package ipmi_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pillarbox/appliance/box/health/ipmi"
	"pillarbox/appliance/box/health/ipmi/ipmitest"
)

func load(t testing.TB) *ipmitest.Controller {
	t.Helper()
	c, err := ipmitest.Load("testdata/server.txt")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// limit writes a limit, or a dash for none.
func limit(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *v)
}

func TestSensors(t *testing.T) {
	bmc := load(t)
	bmc.Cancel = 3 // the repository is written to as it is read
	c := ipmi.New(bmc)
	sensors, err := c.Sensors()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range sensors {
		s := &sensors[i]
		v, ok, err := c.Read(s)
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		line := fmt.Sprintf("%s %s", s.ID(), s.Name)
		switch {
		case !ok:
			line += ": nothing"
		case v.Quantity != ipmi.None:
			line += fmt.Sprintf(": %.4g %s [%s %s %s %s]", v.Value, v.Quantity, limit(v.BadLow), limit(v.WatchLow), limit(v.WatchHigh), limit(v.BadHigh))
		}
		for _, st := range v.States {
			line += fmt.Sprintf("; %s %v", st.Text, st.Critical)
		}
		got = append(got, line)
	}
	want := []string{
		"0.01 CPU1 Temp: 45 celsius [- - 85 93]",
		"0.02 INLET TEMP: -3 celsius [-5 0 40 45]",
		"0.41 FAN1: 400 rpm [500 700 - -]; is below its critical lower limit true",
		"0.42 FAN2: nothing",
		"0.30 12V: 11.97 volts [10.39 10.71 13.23 13.54]",
		"0.33 VBAT: nothing",
		"0.34 CPU Load: 12 percent [- - - -]",
		"0.50 PS Status 1",
		"0.51 PS Status 2; gets no power from the mains true",
		"0.52 PS Redundancy; is redundant no more false",
		"0.60 Chassis Intru",
		"0.71 Battery: nothing",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	asked := bmc.Asked
	if _, err := c.Sensors(); err != nil || bmc.Asked != asked {
		t.Errorf("the repository was read again though nothing changed (%d pieces), %v", bmc.Asked-asked, err)
	}
	bmc.SDR = bmc.SDR[1:]
	if s, err := c.Sensors(); err != nil || len(s) != len(want)-1 {
		t.Errorf("a repository that changed gives %d sensors, %v", len(s), err)
	}
}

func TestRepositoryThatFails(t *testing.T) {
	for name, spoil := range map[string]func(*ipmitest.Controller){
		"no answer":                 func(c *ipmitest.Controller) { c.Dead = true },
		"always cancelled":          func(c *ipmitest.Controller) { c.Cancel = 1 << 20 },
		"a record without its end":  func(c *ipmitest.Controller) { c.SDR[0] = c.SDR[0][:20] },
		"a record without a header": func(c *ipmitest.Controller) { c.SDR[0] = c.SDR[0][:3] },
	} {
		bmc := load(t)
		spoil(bmc)
		if s, err := ipmi.New(bmc).Sensors(); err == nil {
			t.Errorf("%s: %d sensors and no error", name, len(s))
		}
	}
	// A walk that leads in a circle ends.
	bmc := load(t)
	bmc.SDR[1] = bmc.SDR[0]
	if s, err := ipmi.New(bmc).Sensors(); err != nil || len(s) == 0 {
		t.Errorf("a circle: %d sensors, %v", len(s), err)
	}
}

func TestEvents(t *testing.T) {
	bmc := load(t)
	c := ipmi.New(bmc)
	sensors, err := c.Sensors()
	if err != nil {
		t.Fatal(err)
	}
	texts := func(events []ipmi.Event) (all []string) {
		for _, e := range events {
			when := "?"
			if !e.Time.IsZero() {
				when = e.Time.Format("15:04")
			}
			all = append(all, fmt.Sprintf("%s %s %v", when, e.Text, e.Critical))
		}
		return all
	}
	events, end, err := c.EventsAfter(ipmi.Mark{}, sensors)
	want := []string{
		"12:01 PS Status 2 gets no power from the mains true",
		"12:03 PS Status 2 gets no power from the mains true",
		"12:04 sensor 87 had an error that was corrected false",
		"12:04 sensor 87 had an error that could not be corrected true",
		"? FAN1 fell below its critical lower limit true",
	}
	if err != nil || !slices.Equal(texts(events), want) {
		t.Errorf("%v, got\n%s\nwant\n%s", err, strings.Join(texts(events), "\n"), strings.Join(want, "\n"))
	}
	if at, err := c.End(); err != nil || at != end || at.ID != 9 {
		t.Errorf("the log ends at %+v, the walk at %+v, %v", at, end, err)
	}
	// Nothing new, then one more, then a log that was cleared and began again.
	if more, at, err := c.EventsAfter(end, sensors); err != nil || len(more) != 0 || at != end {
		t.Errorf("nothing new: %v, %+v, %v", texts(more), at, err)
	}
	one := slices.Clone(bmc.SEL[1])
	one[0] = 10
	bmc.SEL = append(bmc.SEL, one)
	more, at, err := c.EventsAfter(end, sensors)
	if err != nil || len(more) != 1 || at.ID != 10 {
		t.Errorf("one more: %v, %+v, %v", texts(more), at, err)
	}
	again := slices.Clone(bmc.SEL[1])
	again[3]++ // a second later
	again[0] = byte(at.ID)
	bmc.SEL = [][]byte{bmc.SEL[0], again}
	if more, _, err := c.EventsAfter(at, sensors); err != nil || len(more) != 1 {
		t.Errorf("a cleared log: %v, %v", texts(more), err)
	}
	bmc.SEL = nil
	if more, _, err := c.EventsAfter(at, sensors); err != nil || len(more) != 0 {
		t.Errorf("an empty log: %v, %v", texts(more), err)
	}
	if at, err := c.End(); err != nil || at != (ipmi.Mark{}) {
		t.Errorf("the end of an empty log: %+v, %v", at, err)
	}
	bmc.Dead = true
	if _, kept, err := c.EventsAfter(end, sensors); err == nil || kept != end {
		t.Errorf("a controller that is gone moves the mark to %+v, %v", kept, err)
	}
}

func TestIdentifyAndLogInfo(t *testing.T) {
	bmc := load(t)
	c := ipmi.New(bmc)
	if err := c.Identify(90); err != nil || bmc.Lit != 90 {
		t.Errorf("lit for %d, %v", bmc.Lit, err)
	}
	if l, err := c.LogInfo(); err != nil || l.Entries != len(bmc.SEL) || l.Free != 1000 {
		t.Errorf("%+v, %v", l, err)
	}
}

// answers are octets given whatever is asked.
type answers []byte

func (a *answers) Exchange(_, _, _ byte, _ []byte) ([]byte, error) {
	if len(*a) == 0 {
		return nil, errors.New("no more")
	}
	n := min(1+int((*a)[0]), len(*a))
	r := (*a)[1:n]
	*a = (*a)[n:]
	return r, nil
}

// Whatever a controller answers, nothing here breaks or goes on for ever.
func FuzzController(f *testing.F) {
	f.Add([]byte{15, 0, 0x51, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0xff, 0xff, 1, 0, 0x51, 1, 0})
	bmc := load(f)
	for _, r := range bmc.SDR {
		first := append([]byte{8, 0, 0xff, 0xff}, r[:5]...)
		f.Add(append(append([]byte{15, 0, 0x51, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, first...), append([]byte{byte(len(r) - 5 + 3), 0, 0xff, 0xff}, r[5:]...)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := answers(b)
		c := ipmi.New(&a)
		sensors, err := c.Sensors()
		if err != nil {
			return
		}
		for i := range sensors {
			if v, ok, _ := c.Read(&sensors[i]); ok && v.Value != v.Value {
				t.Error("no number")
			}
		}
		_, _, _ = c.EventsAfter(ipmi.Mark{ID: 1}, sensors)
	})
}
