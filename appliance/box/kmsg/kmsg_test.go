package kmsg

import (
	"context"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Record
		ok   bool
	}{
		{"6,1,0,-;Linux version 6.1.0\n", Record{6, 0, "Linux version 6.1.0"}, true},
		{"3,742,12345678,-;I/O error, dev sda, sector 8 op 0x0:(READ)\n SUBSYSTEM=block\n DEVICE=b8:0\n", Record{3, 12345678 * time.Microsecond, "I/O error, dev sda, sector 8 op 0x0:(READ)"}, true},
		{"4,7,5,c,caller=T1;more of it\n", Record{4, 5 * time.Microsecond, "more of it"}, true},
		{`6,8,1,-;a \x5c, an \xc3\xa9, a bell \x07`, Record{6, time.Microsecond, `a \, an é, a bell \x07`}, true},
		{"30,9,1,-;from a program\n", Record{}, false},
		{"6,1,0;short head", Record{}, false},
		{"6,1,-1,-;x", Record{}, false},
		{"x,1,0,-;x", Record{}, false},
		{"no head", Record{}, false},
	} {
		got, ok := parse(tt.in)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %+v, %v", tt.in, got, ok)
		}
	}
}

func TestNoDevice(t *testing.T) {
	if err := Read(context.Background(), t.TempDir()+"/kmsg", func(Record) { t.Error("a record") }); err == nil {
		t.Error("no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("6,1,0,-;Linux\n")
	f.Add(`6,8,1,-;\x5c\xff`)
	f.Fuzz(func(t *testing.T, s string) {
		if r, ok := parse(s); ok && (r.Level > 7 || r.At < 0 || utf8.ValidString(s) && !utf8.ValidString(r.Text)) {
			t.Errorf("%q: %+v", s, r)
		}
	})
}
