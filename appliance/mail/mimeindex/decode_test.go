package mimeindex

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecode(t *testing.T) {
	for in, want := range map[string]string{
		"":      "",
		"plain": "plain",
		// RFC 2047 section 8
		"=?ISO-8859-1?Q?a?=":                     "a",
		"=?ISO-8859-1?Q?a?= b":                   "a b",
		"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=":  "ab",
		"=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=": "ab",
		"=?ISO-8859-1?Q?a_b?=":                   "a b",
		"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=": "a b",
		"=?US-ASCII?Q?Keith_Moore?=":             "Keith Moore",
		"=?ISO-8859-1?Q?Andr=E9?= Pirard":        "André Pirard",
		"a =?utf-8?q?b?= c =?utf-8?q?d?= e":      "a b c d e",
		"=?utf-8*de?q?gr=C3=BCn?=":               "grün",  // RFC 2231 section 5
		"=?utf-8?b?w6Q?=":                        "ä",     // no padding
		"=?utf-8?q?a b?=":                        "a b",   // a space in a word
		"=?utf-8?q?what??=":                      "what?", // a question mark in a word
		"=?utf-8?q?ä?=":                          "ä",     // raw bytes in a word
		"x=?utf-8?b?w6Q=?=y":                     "xäy",   // a word in a word
		"=?utf-8?b?w6Q=?==?utf-8?b?w6Q=?=":       "ää",    // words that touch
		`"=?utf-8?q?a?="`:                        `"a"`,   // a word in quotes
		"=?utf-8?q?=E2=82?= =?utf-8?q?=AC?=":     "€",     // a character cut in two
		"=?big5?q?=A4?= =?Big5?q?=A4?=":          "中",     // of two bytes
		"=?iso-2022-jp?b?GyRCJEgbKEI=?= =?iso-2022-jp?b?GyRCJDckRhsoQg==?=": "として", // with shifts
		"=?gb2312?b?1tDOxA==?=":         "中文",
		"=?ks_c_5601-1987?b?x9GxuQ==?=": "한국",
		"=?koi8-r?b?8NLJ18XU?=":         "Привет",
		"=?windows-1252?q?=80?=":        "€",
		"=?cp-1252?q?=80?=":             "€",
		"=?iso8859-15?q?=A4?=":          "€",
		"=?utf-8?q?=80?=":               "€", // of another charset than it says
		"=?x-unknown?q?a=E4?=":          "aä",
		"=?nonsense?q?=41?=":            "A",
		"=?utf-8?q??=":                  "",
		"=?utf-8?q?=4?=":                "=4",
		"=?utf-8?b?!!!?=":               "=?utf-8?b?!!!?=",
		"=?utf-8?x?a?=":                 "=?utf-8?x?a?=",
		"=?utf-8?q?a":                   "=?utf-8?q?a",
		"=?utf-8?q":                     "=?utf-8?q",
		"=??q?a?=":                      "=??q?a?=",
		"=? =?utf-8?q?a?=":              "=? a",
		"1 =? 2":                        "1 =? 2",
		"caf\xe9":                       "café",
		"caf\xc3\xa9":                   "café",
		"caf\xe9 =?utf-8?q?caf=C3=A9?=": "café café",
		"=?utf-8?q?a?= b =?utf-8?q?c":   "a b =?utf-8?q?c",
		"=?" + strings.Repeat("x", maxCharset) + "?q?a?=":    "=?" + strings.Repeat("x", maxCharset) + "?q?a?=",
		"=?utf-8?q?" + strings.Repeat("=C3=A4", 1000) + "?=": strings.Repeat("ä", 1000),
	} {
		if got := Decode(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCharsets(t *testing.T) {
	for _, tt := range []struct{ charset, in, want string }{
		{"", "plain", "plain"},
		{"utf-8", "gr\xc3\xbcn", "grün"},
		{"UTF8", "gr\xc3\xbcn", "grün"},
		{"utf-8", "Gru\xcc\x88n und \xc3", "Gru\u0308n und \uFFFD"}, // cut in a character
		{"utf-8", "\xd0\x9f\xd1\x80\xd0\xb8 \xff", "При \uFFFD"},    // damaged
		{"utf-8", "na\xefve", "naïve"},                              // is windows-1252
		{"us-ascii", "na\xefve \x80", "naïve €"},                    // is windows-1252
		{"us-ascii", "na\xc3\xafve", "naïve"},                       // is UTF-8
		{"iso-8859-1", "\x93a\x94", "\u201ca\u201d"},                // is windows-1252, as browsers know
		{"no such", "gr\xc3\xbcn", "grün"},
		{"no such", "gr\xfcn", "grün"},
		{" \"utf-8", "gr\xc3\xbcn", "grün"},
		{"windows-1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"win-1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"cp850", "\x84", "ä"},
		{"gbk", "\xd6\xd0\xff", "中\uFFFD"},
		{"shift_jis", "\x82\xa0", "あ"},
		{"euc-jp", "\xa4\xa2", "あ"},
		{"iso-2022-jp", "\x1b$B$\"\x1b(B", "あ"},
		{"iso-2022-kr", "plain", "plain"},
		{"hz-gb-2312", "~{VPND~}", "中文"},
		{"utf-16", "\xfe\xff\x00h\x00i", "hi"},
		{"utf-16", "\xff\xfeh\x00i\x00", "hi"},
		{"utf-16", "\x00h\x00i", "hi"},
		{"utf-16le", "h\x00i\x00", "hi"},
	} {
		if got := toUTF8(tt.charset, tt.in); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.charset, tt.in, got, tt.want)
		}
	}
}

func TestTransferEncodings(t *testing.T) {
	for _, tt := range []struct{ encoding, in, want string }{
		{"7bit", "a=41", "a=41"},
		{"x-unknown", "a=41", "a=41"},
		{"base64", "aGVsbG8=", "hello"},
		{"BASE64", "aGVs\r\nbG8=\r\n", "hello"},
		{"base64", "aGVsbG8", "hello"},               // no padding
		{"base64", "aGVsbG8=aGVsbG8=", "hellohello"}, // put together
		{"base64", "a!G*V s\x00bG8=", "hello"},
		{"base64", "a", ""},
		{"base64", "====", ""},
		{"base64", "", ""},
		{"quoted-printable", "a=3Db", "a=b"},
		{"quoted-printable", "a=3db", "a=b"},
		{"quoted-printable", "a=\r\nb", "ab"},
		{"quoted-printable", "a= \t\r\nb", "ab"},
		{"quoted-printable", "a  \r\nb", "a\r\nb"}, // white space added on the way
		{"quoted-printable", "a\nb", "a\r\nb"},
		{"quoted-printable", "a=", "a"},
		{"quoted-printable", "a=4", "a=4"},
		{"quoted-printable", "a=ZZ", "a=ZZ"},
		{"quoted-printable", "1+1=2", "1+1=2"},
		{"quoted-printable", "\xe4", "\xe4"},
	} {
		if got := string(decodeTransfer(tt.encoding, []byte(tt.in))); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.encoding, tt.in, got, tt.want)
		}
	}
}

func TestHTMLText(t *testing.T) {
	for in, want := range map[string]string{
		"a <b>b</b> c":                                       "a b c",
		"a<br>b<br/>c<p>d":                                   "a b c d",
		"<td>a</td><td>b</td>":                               "a b",
		"&lt;a&gt; &amp; &uuml; &#8364;":                     "<a> & ü €",
		"<style>p{}</style>a":                                "a",
		"<script>if (a<b) x()</script>a":                     "a",
		"<!-- no --><![if x]>a<![endif]>":                    "a",
		"<head><title>no</title></head>a":                    "a",
		"<head><title>no</title><body>a":                     "a",
		"<html><head><meta x><p>a</p>":                       "a", // no end of the head, no body
		"<head><meta x><o:p></o:p></head>a":                  "a",
		"<template>no</template>a":                           "a",
		`a<img src=x alt="&auml; b">c<img alt=""><img/>d`:    "a ä b cd",
		`<head><img alt=a></head><title><img alt=b></title>`: "a",
		"a<":    "a<",
		"a < b": "a < b",
		"a <b":  "a",
		"":      "",
		`a<img src="data:` + strings.Repeat("A", 3<<20) + `">b`: "ab",
	} {
		if got := strings.Join(strings.Fields(htmlText(in)), " "); got != want {
			t.Errorf("%.60q: %q, want %q", in, got, want)
		}
	}
}

func TestPreview(t *testing.T) {
	const from = "Content-Type: text/"
	for _, tt := range []struct{ name, message, want string }{
		{"white space", "\n a\t b \r\n\r\n c \x00 d\n", "a b c d"},
		{"quotes", "\n> quoted\n>> more\nanswer\n", "answer"},
		{"nothing but quotes", "\n> quoted\n>more\n", "> quoted >more"},
		{"HTML", from + "html\n\n<style>p{}</style><p>one<p>two", "one two"},
		{"HTML after styles", from + "html\n\n<head><style>" + strings.Repeat("p{}\n", 10_000) + "</style></head>one", "one"},
		{"nothing", "\n \n", ""},
		{"long", "\n" + strings.Repeat("word ", 100), strings.TrimSpace(strings.Repeat("word ", 40))},
		{"characters, not bytes", "\n" + strings.Repeat("ж", 500), strings.Repeat("ж", maxPreview)},
		{"cut in a character", from + "plain; charset=utf-8\n\na" + strings.Repeat("ж", previewRaw), "a" + strings.Repeat("ж", maxPreview-1)},
		{"first part empty", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n--x\n\nsecond\n--x--", "second"},
		{"attached text", "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Disposition: attachment\n\nno\n--x\n\nyes\n--x--", "yes"},
		{"no header", "text\n", "text"},
	} {
		if got := parse(t, tt.message).Preview; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?=C3=A4?= =?iso-2022-jp?b?GyRCJEg=?=", "a =?x?b?!?= \xe4", "=?utf-8*en?Q?a?b?="} {
		f.Add(s, "utf-16")
	}
	f.Fuzz(func(t *testing.T, s, charset string) {
		for _, out := range []string{Decode(s), toUTF8(charset, s), BaseSubject(s), htmlText(toUTF8("", s)), Params{{"a*", s}}.Text("a")} {
			if !utf8.ValidString(out) {
				t.Errorf("%q gives %q", s, out)
			}
		}
		if !strings.Contains(s, "=?") && utf8.ValidString(s) && Decode(s) != s {
			t.Errorf("%q gives %q", s, Decode(s))
		}
		if got := decodeBase64([]byte(base64.StdEncoding.EncodeToString([]byte(s)))); string(got) != s {
			t.Errorf("base64: %q gives %q", s, got)
		}
	})
}
