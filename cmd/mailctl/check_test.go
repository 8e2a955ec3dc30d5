package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pillarbox/appliance/api/mailapi"
)

// A check counts the problems it does not list, and is not content with them.
func TestCheckTellsHowManyProblems(t *testing.T) {
	mended := []mailapi.Problem{{Where: "body 1", What: "is torn", Repaired: true}}
	for _, tc := range []struct {
		report mailapi.CheckReport
		repair bool
		want   []string
		found  bool
	}{
		{mailapi.CheckReport{}, false, []string{": 0 problems"}, false},
		{mailapi.CheckReport{Problems: mended}, true, []string{": 1 problems", "mended"}, false},
		{mailapi.CheckReport{Problems: mended, Unlisted: 7}, true, []string{": 8 problems", "and 7 more, not listed: run it again"}, true},
		{mailapi.CheckReport{Problems: mended, Unlisted: 7}, false, []string{": 8 problems", "and 7 more, not listed"}, true},
	} {
		var out bytes.Buffer
		err := (&ctl{out: &out}).showCheck(&tc.report, tc.repair)
		if errors.Is(err, errFound) != tc.found {
			t.Errorf("%+v: %v", tc.report, err)
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%+v: %s\nwant %q", tc.report, out.String(), want)
			}
		}
	}
}
