package health

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"pillarbox/appliance/api/healthapi"
)

const (
	upsPort     = "3493"
	upsTimeout  = 5 * time.Second
	upsMaxLines = 500 // a UPS has some hundred variables
)

// upsVariables asks a NUT server for what a UPS says (the network protocol of
// Network UPS Tools, LIST VAR). where is NAME@HOST or NAME@HOST:PORT.
func upsVariables(ctx context.Context, where string) (map[string]string, error) {
	name, host, ok := strings.Cut(where, "@")
	if !ok || name == "" || host == "" || strings.ContainsAny(name, " \"\r\n") {
		return nil, fmt.Errorf("UPS %q: must be NAME@HOST", where)
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(host, upsPort)
	}
	ctx, cancel := context.WithTimeout(ctx, upsTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("UPS %s: %w", where, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "LIST VAR %s\n", name); err != nil {
		return nil, fmt.Errorf("UPS %s: %w", where, err)
	}
	vars := map[string]string{}
	lines := bufio.NewScanner(conn)
	for n := 0; lines.Scan() && n < upsMaxLines; n++ {
		l := lines.Text()
		switch {
		case strings.HasPrefix(l, "ERR "):
			return nil, fmt.Errorf("UPS %s: the server answers %s", where, l)
		case strings.HasPrefix(l, "END LIST VAR"):
			fmt.Fprint(conn, "LOGOUT\n") // the server sees the end anyway
			return vars, nil
		}
		if rest, ok := strings.CutPrefix(l, "VAR "+name+" "); ok {
			key, quoted, _ := strings.Cut(rest, " ")
			if v, err := strconv.Unquote(quoted); err == nil {
				vars[key] = v
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("UPS %s: %w", where, err)
	}
	return nil, fmt.Errorf("UPS %s: the answer ended early", where)
}

// ups judges what a UPS says.
func ups(vars map[string]string) (readings []healthapi.Reading, f finding) {
	f.id = "ups/power"
	number := func(key, id, kind, name string) (float64, bool) {
		v, err := strconv.ParseFloat(vars[key], 64)
		if err != nil {
			return 0, false
		}
		readings = append(readings, healthapi.Reading{ID: "ups/" + id, Kind: kind, Name: name, Value: v})
		return v, true
	}
	charge, haveCharge := number("battery.charge", "charge", healthapi.Percent, "UPS battery charge")
	left, haveLeft := number("battery.runtime", "runtime", healthapi.Seconds, "UPS time left")
	number("ups.load", "load", healthapi.Percent, "UPS load")
	flags := map[string]bool{}
	for _, s := range strings.Fields(vars["ups.status"]) {
		flags[s] = true
	}
	rest := ""
	switch {
	case haveLeft:
		rest = fmt.Sprintf(" About %.0f minutes are left.", left/60)
	case haveCharge:
		rest = fmt.Sprintf(" The battery holds %.0f percent.", charge)
	}
	switch {
	case flags["LB"], flags["FSD"]:
		f.level, f.what = healthapi.Bad, "The UPS battery is nearly empty."+rest
		f.means, f.do = "The box is switched off in order before the power goes.", "Bring the mains back, or let the box switch off."
		// FSD, forced shutdown: the server's computer is about to cut the power,
		// whatever the battery holds.
		f.final = flags["OB"] || flags["FSD"]
	case flags["OB"]:
		f.level, f.what = healthapi.Bad, "The mains have failed; the box runs from the UPS battery."+rest
		f.means, f.do = "When the battery is nearly empty the box is switched off in order.", "Look at the mains."
	case flags["RB"]:
		f.level, f.what = healthapi.Watch, "The UPS battery needs to be replaced."
		f.means, f.do = "The box may not outlive the next power cut in order.", "Replace the battery."
	case flags["OVER"]:
		f.level, f.what = healthapi.Watch, "The UPS carries more than it is made for."
		f.means, f.do = "It may switch off at a power cut.", "Connect fewer machines to it."
	}
	return readings, f
}
