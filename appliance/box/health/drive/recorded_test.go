package drive

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The data of real disks come out as another decoder has them. Origin and
// licence of the recordings stand in testdata/smart/README.
func TestRecordedATA(t *testing.T) {
	f, err := os.Open("testdata/smart/expected")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	number := func(v *int64) string {
		if v == nil {
			return "-"
		}
		return strconv.FormatInt(*v, 10)
	}
	disks := 0
	for s := bufio.NewScanner(f); s.Scan(); disks++ {
		var name, reallocated, pending, offline, celsius, hours, test string
		if _, err := fmt.Sscan(s.Text(), &name, &reallocated, &pending, &offline, &celsius, &hours, &test); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join("testdata/smart", name+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		var h Health
		if err := h.ataData(raw[:ataSector], raw[ataSector:]); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if reallocated != "-" && number(h.Reallocated) != reallocated {
			t.Errorf("%s: %s reallocated, want %s", name, number(h.Reallocated), reallocated)
		}
		// We show the greater of the two.
		want := max(atoi(pending), atoi(offline))
		if h.Pending == nil && want > 0 || h.Pending != nil && *h.Pending != want {
			t.Errorf("%s: %s pending, want %d", name, number(h.Pending), want)
		}
		switch got := "-"; {
		case h.Celsius != nil:
			if got = fmt.Sprintf("%.1f", *h.Celsius); got != celsius {
				t.Errorf("%s: %s degrees, want %s", name, got, celsius)
			}
		case celsius != "-":
			t.Errorf("%s: no temperature, want %s", name, celsius)
		}
		// skdump rounds to a tenth of a month or year.
		if want := atoi(hours); want > 0 && (h.PowerOnHours == nil || *h.PowerOnHours < want*98/100-40 || *h.PowerOnHours > want*102/100+40) {
			t.Errorf("%s: %s hours in use, want about %d", name, number(h.PowerOnHours), want)
		}
		if !h.SelfTest.Known || h.SelfTest.Running != (test == "running") || h.SelfTest.Failed {
			t.Errorf("%s: self-test %+v, want %s", name, h.SelfTest, test)
		}
		// One of them had an attribute below its threshold when it was recorded.
		if h.Failing != (name == "Maxtor_96147H8--BAC51KJ0--2") {
			t.Errorf("%s: failing %v, %s", name, h.Failing, strings.Join(h.Reasons, "; "))
		}
	}
	if disks != 18 {
		t.Errorf("%d disks", disks)
	}
}

// atoi is 0 for what is no number.
func atoi(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
