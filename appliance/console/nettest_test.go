package console

import (
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
)

func TestNetworkIsTestedOnTheFirstBoot(t *testing.T) {
	f := freshBox()
	f.tests = map[string]string{boxapi.TestLink: "no signal"}
	d := newDrive(t, f)
	d.keys("enter")
	d.expect("first-network-no-cable")
	f.tests = map[string]string{boxapi.TestTime: "ntp.example.org: no answer", boxapi.TestPort25: "mx.example.org: connection timed out"}
	d.run(d.m.watchTests())
	d.wants("no signal") // not yet old
	now := d.m.now()
	d.m.now = func() time.Time { return now.Add(testAgain + time.Second) }
	_, cmd := d.m.Update(refresh{})
	d.run(cmd)
	d.wants("No time server answers", "mx.example.org: connection timed out")
	delete(f.tests, boxapi.TestTime)
	d.m.now = func() time.Time { return now.Add(2*testAgain + 2*time.Second) }
	_, cmd = d.m.Update(refresh{})
	d.run(cmd)
	d.expect("first-network-port-25")
	d.keys("enter", "example.org", "enter", "enter", "admin password", "enter", "admin password", "enter",
		"ann", "enter", "enter", "ann's password", "enter", "ann's password", "enter")
	d.expect("first-sending-proposed")
}

func TestNetworkIsTestedFromTheMenu(t *testing.T) {
	d, _, _ := menuDrive(t)
	d.unlock()
	d.choose("Network and firewall")
	d.choose("Test the network")
	d.wants("Port 25 out", "mx.example.org")
	d.keys("esc", "esc")
	d.wants("Menu")
}
