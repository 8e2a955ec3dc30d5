package health

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"pillarbox/appliance/api/healthapi"
)

// WriteMetrics writes a status as Prometheus reads it (text exposition format
// 0.0.4).
func WriteMetrics(w io.Writer, s *healthapi.Status) error {
	var b strings.Builder
	b.WriteString("# HELP pillarbox_health_level How the box is: 0 well, 1 to be looked at, 2 look now.\n# TYPE pillarbox_health_level gauge\n")
	fmt.Fprintf(&b, "pillarbox_health_level %d\n", int(s.Level))
	b.WriteString("# HELP pillarbox_health_state What is not well: 1 to be looked at, 2 look now.\n# TYPE pillarbox_health_state gauge\n")
	for _, st := range s.States {
		fmt.Fprintf(&b, "pillarbox_health_state{id=%s} %d\n", quote(st.ID), int(st.Level))
	}
	b.WriteString("# HELP pillarbox_health_reading A measured value in the unit of its kind.\n# TYPE pillarbox_health_reading gauge\n")
	for _, r := range s.Readings {
		fmt.Fprintf(&b, "pillarbox_health_reading{id=%s,kind=%s} %s\n", quote(r.ID), quote(r.Kind), strconv.FormatFloat(r.Value, 'g', -1, 64))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quote writes a label's value.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
