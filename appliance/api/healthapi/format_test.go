package healthapi

import "testing"

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		kind string
		v    float64
		want string
	}{
		{Temperature, 41.4, "41 °C"}, {Fan, 1200, "1200 rpm"}, {Voltage, 12.126, "12.13 V"}, {Current, 0.5, "0.50 A"}, {Power, 120.4, "120 W"},
		{Percent, 84.6, "85 %"}, {Count, 1234567, "1234567"}, {Load, 0.256, "0.26"}, {Days, 41.6, "42 days"},
		{Octets, 12, "12 B"}, {Octets, 64e9, "64.0 GB"}, {Octets, 1.2e12, "1.2 TB"},
		{Seconds, 0, "0s"}, {Seconds, 0.021, "0.021s"}, {Seconds, -0.4, "-0.4s"}, {Seconds, 90, "1m30s"}, {Seconds, 86400, "24h0m0s"}, {Seconds, 90 * 86400, "90 days"}, {Seconds, -3 * 86400, "-3 days"},
	} {
		if got := (Reading{Kind: tt.kind, Value: tt.v}).Text(); got != tt.want {
			t.Errorf("%s %v: %q, want %q", tt.kind, tt.v, got, tt.want)
		}
	}
}
