package health

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"pillarbox/appliance/api/healthapi"
)

// nut answers like a server of Network UPS Tools.
func nut(t *testing.T, lines ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 100)
			n, _ := c.Read(buf)
			if string(buf[:n]) == "LIST VAR rack\n" {
				fmt.Fprint(c, strings.Join(lines, "\n")+"\n")
			}
			c.Close()
		}
	}()
	return "rack@" + l.Addr().String()
}

func TestUPS(t *testing.T) {
	answer := func(status string) []string {
		return []string{"BEGIN LIST VAR rack", `VAR rack battery.charge "42"`, `VAR rack battery.runtime "600"`, `VAR rack ups.status "` + status + `"`, "END LIST VAR rack"}
	}
	for _, tt := range []struct {
		status string
		level  healthapi.Level
		final  bool
		what   string
	}{
		{"OL CHRG", healthapi.OK, false, ""},
		{"OB DISCHRG", healthapi.Bad, false, "About 10 minutes are left."},
		{"OB LB", healthapi.Bad, true, "nearly empty"},
		{"FSD OL", healthapi.Bad, true, "nearly empty"},
		{"OL RB", healthapi.Watch, false, "replaced"},
	} {
		vars, err := upsVariables(t.Context(), nut(t, answer(tt.status)...))
		if err != nil {
			t.Fatal(err)
		}
		r, f := ups(vars)
		if len(r) != 2 || f.level != tt.level || f.final != tt.final || !strings.Contains(f.what, tt.what) {
			t.Errorf("%s: %+v, %+v", tt.status, r, f)
		}
	}
	for _, where := range []string{"rack", "ra ck@host", nut(t, "ERR UNKNOWN-UPS"), nut(t, "BEGIN LIST VAR rack")} {
		if _, err := upsVariables(t.Context(), where); err == nil {
			t.Errorf("%q was taken", where)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := upsVariables(ctx, "rack@127.0.0.1:1"); err == nil {
		t.Error("asked though the time was over")
	}
}
