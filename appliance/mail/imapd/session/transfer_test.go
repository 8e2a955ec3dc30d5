package session

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDecoded(t *testing.T) {
	long := strings.Repeat("x", 10<<10)
	blanks := strings.Repeat(" ", 2*maxBlanks)
	for _, c := range []struct{ encoding, in, want string }{
		{"7bit", "a=41 \r\n", "a=41 \r\n"},
		{" Base64 ", "aGVs\r\nbG8=", "hello"},
		{"base64", "aGVsbG8=d29ybGQ=", "helloworld"},
		{"base64", "aGVs!bG\r\n8", "hello"},
		{"quoted-printable", "", ""},
		{"quoted-printable", "a=41=c3=BC.", "aA\xc3\xbc."},
		{"quoted-printable", "one=\r\ntwo=\nthree\n", "onetwothree\n"},
		{"quoted-printable", "soft= \t\r\nblanks \t \r\nin the middle\r\n", "softblanks\r\nin the middle\r\n"},
		{"quoted-printable", " = =\r\n= =41 =4 =zz\r\n", " = = A =4 =zz\r\n"},
		{"quoted-printable", "cut off=", "cut off="},
		{"quoted-printable", "cut off=4", "cut off=4"},
		{"quoted-printable", "at the end \t", "at the end \t"},
		{"quoted-printable", "lone\rCR =\r =\r\r\n", "lone\rCR =\r =\r\r\n"},
		{"quoted-printable", long + "=\r\n" + long + "=41\r\n", long + long + "A\r\n"},
		{"quoted-printable", "a" + blanks + "b=" + blanks + "c\r\n", "a" + blanks + "b=" + blanks + "c\r\n"},
	} {
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(c.in), "bytes": iotest.OneByteReader(strings.NewReader(c.in)),
		} {
			d, ok := Decoded(r, c.encoding)
			if !ok {
				t.Fatalf("%q is not known", c.encoding)
			}
			if got, err := io.ReadAll(d); err != nil || string(got) != c.want {
				t.Errorf("%s %.40q, %s: %.60q, %v", c.encoding, c.in, name, got, err)
			}
		}
	}
	if _, ok := Decoded(strings.NewReader(""), "x-uuencode"); ok {
		t.Error("an unknown encoding is decoded")
	}
	broken, _ := Decoded(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("ab"))), "quoted-printable")
	if got, err := io.ReadAll(broken); string(got) != "a" || err != iotest.ErrTimeout {
		t.Errorf("a read that fails: %q, %v", got, err)
	}
}

// TestQuotedAnywhere has each thing that is decoded begin at each place around
// the end of what is read at once.
func TestQuotedAnywhere(t *testing.T) {
	for at := 8<<10 - 8; at <= 8<<10+2; at++ {
		head := strings.Repeat("x", at)
		for _, c := range []struct{ in, want string }{
			{"=41z", "Az"}, {"=\r\nz", "z"}, {"= \r\nz", "z"}, {" \t\r\nz", "\r\nz"}, {"=z", "=z"}, {" z", " z"},
		} {
			t.Run(fmt.Sprintf("%d%q", at, c.in), func(t *testing.T) {
				d, _ := Decoded(strings.NewReader(head+c.in), "quoted-printable")
				if got, err := io.ReadAll(d); err != nil || string(got) != head+c.want {
					t.Errorf("%q, %v", got[at:], err)
				}
			})
		}
	}
}
