package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/store/store"
)

// got is a message as a walk gave it.
type got struct {
	Folder string
	Flags  store.Flags
	Date   string
	Body   string
}

func walkAll(t *testing.T, path string) (msgs []got, broken []string) {
	t.Helper()
	f, err := Detect(path)
	if err != nil {
		t.Fatal(err)
	}
	src, err := open(path, f)
	if err != nil {
		t.Fatal(err)
	}
	err = src.walk(context.Background(), func(m *Message) error {
		body, err := io.ReadAll(newCRLF(m.Body))
		if err != nil {
			return err
		}
		date := ""
		if !m.Date.IsZero() {
			date = m.Date.UTC().Format(time.RFC3339)
		}
		msgs = append(msgs, got{m.Folder, m.Flags, date, string(body)})
		return nil
	}, func(where string, err error) error {
		broken = append(broken, fmt.Sprintf("%s: %v", filepath.Base(where), err))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return msgs, broken
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMboxMessages(t *testing.T) {
	for _, c := range []struct {
		name, mbox string
		want       []got
	}{
		{"two messages",
			"From a@x Mon Jan  2 15:04:05 2006\nSubject: 1\n\none\n\nFrom b@x Tue Jan 13 15:04:05 2006\nSubject: 2\n\ntwo\n",
			[]got{{"box", store.Flags{}, "2006-01-02T15:04:05Z", "Subject: 1\r\n\r\none\r\n"}, {"box", store.Flags{}, "2006-01-13T15:04:05Z", "Subject: 2\r\n\r\ntwo\r\n"}}},
		{"quoted From lines come back, unquoted ones without a date stay text",
			"From a Mon Jan  2 15:04:05 2006\n\n>From here\n>>From there\n\nFrom now on\n",
			[]got{{"box", store.Flags{}, "2006-01-02T15:04:05Z", "\r\nFrom here\r\n>From there\r\n\r\nFrom now on\r\n"}}},
		{"a separator needs the empty line before it",
			"From a Mon Jan  2 15:04:05 2006\nSubject: 1\n\ntext\nFrom b Mon Jan  2 15:04:06 2006\nmore\n",
			[]got{{"box", store.Flags{}, "2006-01-02T15:04:05Z", "Subject: 1\r\n\r\ntext\r\nFrom b Mon Jan  2 15:04:06 2006\r\nmore\r\n"}}},
		{"flags of mail programs, which are no part of the message",
			"From a Mon Jan  2 15:04:05 2006\r\nStatus: RO\r\nX-Status: AF\r\nX-Keywords: work (bad) Later\r\n folded\r\nSubject: s\r\n\r\nx\r\n",
			[]got{{"box", store.Flags{System: store.Seen | store.Answered | store.Flagged, Keywords: []string{"work", "Later"}}, "2006-01-02T15:04:05Z", "Subject: s\r\n\r\nx\r\n"}}},
		{"Thunderbird's: read, and one deleted but not compacted",
			"From - Mon Jan  2 15:04:05 2006\nX-Mozilla-Status: 0001\nSubject: a\n\n1\n\nFrom - Mon Jan  2 15:04:05 2006\nX-Mozilla-Status: 0009\nSubject: b\n\n2\n",
			[]got{{"box", store.Flags{System: store.Seen}, "2006-01-02T15:04:05Z", "Subject: a\r\n\r\n1\r\n"}}},
		{"an empty line at the end belongs to the file, two to the message",
			"From a Mon Jan  2 15:04:05 2006\n\nx\n\n\nFrom a Mon Jan  2 15:04:05 2006 +0100\n\ny\n\n",
			[]got{{"box", store.Flags{}, "2006-01-02T15:04:05Z", "\r\nx\r\n\r\n"}, {"box", store.Flags{}, "2006-01-02T14:04:05Z", "\r\ny\r\n"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "box.mbox")
			write(t, path, c.mbox)
			msgs, broken := walkAll(t, path)
			if len(broken) > 0 || !reflect.DeepEqual(msgs, c.want) {
				t.Errorf("got %+q, broken %q\nwant %+q", msgs, broken, c.want)
			}
		})
	}
}

func TestMboxLongLines(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	path := filepath.Join(t.TempDir(), "m")
	write(t, path, "From a Mon Jan  2 15:04:05 2006\nSubject: "+long+"\n\n"+long+"\n"+long+"\n\nFrom a Mon Jan  2 15:04:05 2006\n\nnext\n")
	msgs, broken := walkAll(t, path)
	if len(broken) > 0 || len(msgs) != 2 {
		t.Fatalf("%d messages, broken %q", len(msgs), broken)
	}
	if want := "Subject: " + long + "\r\n\r\n" + long + "\r\n" + long + "\r\n"; msgs[0].Body != want {
		t.Errorf("a message of long lines came back with %d bytes, want %d", len(msgs[0].Body), len(want))
	}
}

func TestMboxTreeNamesFolders(t *testing.T) {
	dir := t.TempDir()
	const m = "From a Mon Jan  2 15:04:05 2006\n\nx\n"
	for _, f := range []string{"Inbox", "Work", "Work.sbd/2024", "Old.mbox/mbox"} {
		write(t, filepath.Join(dir, f), m)
	}
	write(t, filepath.Join(dir, "Work.msf"), "// <!-- an index -->")
	write(t, filepath.Join(dir, "Empty"), "")
	write(t, filepath.Join(dir, "Notes"), "no mail")
	msgs, broken := walkAll(t, dir)
	if want := []string{"Notes: " + errNotMbox.Error()}; !reflect.DeepEqual(broken, want) {
		t.Errorf("broken %q, want %q", broken, want)
	}
	var folders []string
	for _, m := range msgs {
		folders = append(folders, m.Folder)
	}
	if want := []string{"Inbox", "Old", "Work", "Work/2024"}; !reflect.DeepEqual(folders, want) {
		t.Errorf("folders %q, want %q", folders, want)
	}
}

// Files of one message each are a folder's messages where there are too many to
// be mailboxes.
func TestLooseMessages(t *testing.T) {
	const m = "From a Mon Jan  2 15:04:05 2006\n\nx\n"
	const exported = exportFrom + "Mon Jan  2 15:04:05 2006\n" + exportStatus + "O\n\nx\n"
	for _, c := range []struct {
		name string
		file map[string]string // besides
		n    int
		want map[string]int
	}{
		{"many", nil, looseFiles, map[string]int{"": looseFiles, "Saved": looseFiles}},
		{"few", nil, looseFiles - 1, nil},
		{"an export's", map[string]string{"Saved/z": exported, "z": exported}, looseFiles, nil},
		{"a mailbox among them", map[string]string{"Saved/z": m + "\n" + m, "z": m + "\n" + m}, looseFiles, nil},
		{"an empty mailbox among them", map[string]string{"Saved/z.mbox": "", "z.mbox": ""}, looseFiles, nil},
		{"Thunderbird's", map[string]string{"Saved/01.msf": "index", "01.msf": "index"}, looseFiles, nil},
	} {
		dir := t.TempDir()
		for i := range c.n {
			write(t, filepath.Join(dir, fmt.Sprintf("%02d", i)), m)
			write(t, filepath.Join(dir, "Saved", fmt.Sprintf("%02d.mbox", i)), m)
		}
		for name, content := range c.file {
			write(t, filepath.Join(dir, name), content)
		}
		msgs, broken := walkAll(t, dir)
		if len(broken) > 0 {
			t.Errorf("%s: broken %q", c.name, broken)
		}
		folders := map[string]int{}
		for _, m := range msgs {
			folders[m.Folder]++
		}
		if c.want != nil && !reflect.DeepEqual(folders, c.want) || c.want == nil && (folders[""] != 0 || folders["Saved/00"] != 1 || folders["07"] != 1) {
			t.Errorf("%s: %v", c.name, folders)
		}
	}
}

// What Thunderbird's fields say counts in front of a message alone: farther down
// they are the sender's.
func TestFieldsOfTheSender(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	write(t, path, "From - Mon Jan  2 15:04:05 2006\nX-Account-Key: a1\nX-Mozilla-Status: 0001\nX-Mozilla-Keys: work\nSubject: 1\n"+
		"X-Mozilla-Status: 0008\nX-Mozilla-Keys: theirs\n\nx\n\nFrom - Mon Jan  2 15:04:05 2006\nX-Mozilla-Status: 0009\nSubject: 2\n\nx\n")
	msgs, broken := walkAll(t, path)
	want := []got{{"m", store.Flags{System: store.Seen, Keywords: []string{"work"}}, "2006-01-02T15:04:05Z",
		"X-Account-Key: a1\r\nSubject: 1\r\nX-Mozilla-Status: 0008\r\nX-Mozilla-Keys: theirs\r\n\r\nx\r\n"}}
	if len(broken) > 0 || !reflect.DeepEqual(msgs, want) {
		t.Errorf("%q, broken %q\nwant %q", msgs, broken, want)
	}
}

// Mail in another format than the rest is named, not passed over in silence.
func TestMixedFormatsAreTold(t *testing.T) {
	const mbox, eml = "From a Mon Jan  2 15:04:05 2006\n\nx\n", "Subject: 1\n\nx\n"
	for _, c := range []struct {
		files  map[string]string
		n      int
		broken []string
	}{
		{map[string]string{"a.eml": eml, "box": mbox, "readme": "text", "b/M/cur/1": eml, "b/M/new/2": eml}, 1, []string{"M", "box"}},
		{map[string]string{"cur/1": eml, "new/2": eml, ".A/cur/3": eml, ".A/new/4": eml, ".A/dovecot-uidlist": "3 V1", "x.eml": eml, "Old/box": mbox}, 4, []string{"box", "x.eml"}},
	} {
		dir := t.TempDir()
		for name, content := range c.files {
			write(t, filepath.Join(dir, name), content)
		}
		msgs, broken := walkAll(t, dir)
		var want []string
		for _, name := range c.broken {
			want = append(want, name+": "+errOther.Error())
		}
		if len(msgs) != c.n || !reflect.DeepEqual(broken, want) {
			t.Errorf("%d messages, broken %q, want %d and %q", len(msgs), broken, c.n, want)
		}
	}
}

// A folder that may not be read is named, and the rest comes.
func TestUnreadableFolder(t *testing.T) {
	for _, files := range []map[string]string{
		{"A/box": "From a Mon Jan  2 15:04:05 2006\n\nx\n", "Z": "From a Mon Jan  2 15:04:05 2006\n\nx\n"},
		{"A/1.eml": "Subject: 1\n\nx\n", "Z.eml": "Subject: 2\n\nx\n"},
		{"A/1": "", ".Z/cur/1": "Subject: 1\n\nx\n", ".Z/new/2": "Subject: 2\n\nx\n"},
	} {
		dir := t.TempDir()
		for name, content := range files {
			write(t, filepath.Join(dir, name), content)
		}
		if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(filepath.Join(dir, "A"), 0)); err != nil {
			t.Fatal(err)
		}
		msgs, broken := func() ([]got, []string) {
			if os.Geteuid() == 0 { // who may read everything
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				if err := unix.Setfsuid(65534); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = unix.Setfsuid(0) }()
			}
			return walkAll(t, dir)
		}()
		if err := os.Chmod(filepath.Join(dir, "A"), 0o755); err != nil {
			t.Fatal(err)
		}
		if len(msgs) == 0 || len(broken) != 1 || !strings.Contains(broken[0], "permission denied") {
			t.Errorf("%d messages, broken %q", len(msgs), broken)
		}
	}
}

func TestMaildir(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"", ".Sent", ".Projekte.M&APw-ll"} {
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, f, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(t, filepath.Join(dir, "cur/200.b:2,FSa"), "Subject: later\n\n")
	write(t, filepath.Join(dir, "cur/100.a:2,PRT"), "Subject: first\n\n")
	write(t, filepath.Join(dir, "new/300.c"), "Subject: new\n\n")
	write(t, filepath.Join(dir, "dovecot-keywords"), "0 $Work\n1 other\n")
	write(t, filepath.Join(dir, ".Projekte.M&APw-ll/cur/1.x:2,D"), "Subject: draft\n\n")
	when := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "cur/100.a:2,PRT"), when, when); err != nil {
		t.Fatal(err)
	}
	msgs, broken := walkAll(t, dir)
	if len(broken) > 0 || len(msgs) != 4 {
		t.Fatalf("%d messages, broken %q", len(msgs), broken)
	}
	want := []got{
		{"", store.Flags{System: store.Answered | store.Deleted, Keywords: []string{"$Forwarded"}}, "2020-02-03T04:05:06Z", "Subject: first\r\n\r\n"},
		{"", store.Flags{System: store.Flagged | store.Seen, Keywords: []string{"$Work"}}, "", "Subject: later\r\n\r\n"},
		{"", store.Flags{}, "", "Subject: new\r\n\r\n"},
		{"Projekte/Müll", store.Flags{System: store.Draft}, "", "Subject: draft\r\n\r\n"},
	}
	for i := range msgs {
		if i > 0 {
			msgs[i].Date = ""
		}
		if !reflect.DeepEqual(msgs[i], want[i]) {
			t.Errorf("message %d: got %+v, want %+v", i, msgs[i], want[i])
		}
	}
}

func TestEMLDate(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "A/B/x.eml"), "Received: from a\n by b;\n Tue, 3 Mar 2015 10:00:00 +0100 (CET)\nReceived: from c; Mon, 1 Jan 2001 00:00:00 +0000\n\nhello\n")
	msgs, _ := walkAll(t, dir)
	if len(msgs) != 1 || msgs[0].Folder != "A/B" || msgs[0].Date != "2015-03-03T09:00:00Z" {
		t.Errorf("got %+v", msgs)
	}
}

func TestDetectRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "notes.txt"), "From here on, no mail.\n")
	for _, p := range []string{dir, filepath.Join(dir, "notes.txt")} {
		if f, err := Detect(p); !errors.Is(err, ErrUnknownFormat) {
			t.Errorf("Detect(%s) = %q, %v", p, f, err)
		}
	}
}

func TestMapFolder(t *testing.T) {
	special := specialNames()
	for folder, want := range map[string]target{
		"":                     {name: "INBOX"},
		"Posteingang":          {name: "INBOX"},
		"Sent Items":           {name: "Sent", specialUse: `\Sent`},
		"INBOX/Gesendet":       {name: "Sent", specialUse: `\Sent`},
		"[Gmail]/Spam":         {name: "Junk", specialUse: `\Junk`},
		"Projects/Sent":        {name: "Projects/Sent"},
		"inbox/Family":         {name: "INBOX/Family"},
		"Entwu\u0308rfe":       {name: "Drafts", specialUse: `\Drafts`},
		"50% off/a*b":          {name: "50_ off/a_b"},
		"/leading//and empty/": {name: "leading/_/and empty"},
	} {
		if got := mapFolder(folder, special); got != want {
			t.Errorf("mapFolder(%q) = %+v, want %+v", folder, got, want)
		}
	}
}

func TestUTF7RoundTrip(t *testing.T) {
	for name, coded := range map[string]string{
		"Müll": "M&APw-ll", "A&B": "A&-B", "台北": "&U,BTFw-", "plain": "plain", "😀": "&2D3eAA-",
	} {
		if got := encodeUTF7(name); got != coded {
			t.Errorf("encodeUTF7(%q) = %q, want %q", name, got, coded)
		}
		if got, err := decodeUTF7(coded); err != nil || got != name {
			t.Errorf("decodeUTF7(%q) = %q, %v", coded, got, err)
		}
	}
	for _, bad := range []string{"&", "&abc", "&!!-", "&A-"} {
		if got, err := decodeUTF7(bad); err == nil {
			t.Errorf("decodeUTF7(%q) = %q", bad, got)
		}
	}
}

func TestMboxrdRoundTrip(t *testing.T) {
	msg := "Subject: s\r\n\r\nFrom me\r\n>From you\r\n\r\nFrom a Mon Jan  2 15:04:05 2006\r\nodd\r\r\n\r\r\n\r\n" +
		strings.Repeat("w", 64<<10-1) + "\r\r\nend\r\n"
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	entry := store.Entry{InternalDate: time.Date(2021, 5, 6, 7, 8, 9, 0, time.UTC), Flags: store.Flags{System: store.Seen | store.Flagged, Keywords: []string{"k1", "k2"}}}
	for range 2 {
		if err := writeMboxrd(w, entry, strings.NewReader(msg)); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	path := filepath.Join(t.TempDir(), "m.mbox")
	write(t, path, out.String())
	msgs, broken := walkAll(t, path)
	want := got{"m", entry.Flags, "2021-05-06T07:08:09Z", msg}
	if len(broken) > 0 || !reflect.DeepEqual(msgs, []got{want, want}) {
		t.Errorf("got %+q, broken %q\nwant twice %+q", msgs, broken, want)
	}
}

func FuzzMbox(f *testing.F) {
	f.Add([]byte("From a Mon Jan  2 15:04:05 2006\nStatus: R\n\n>From x\n\nFrom b Mon Jan  2 15:04:05 2006\n\n\n"))
	f.Add([]byte("From - Mon Jan  2 15:04:05 2006\r\n\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(r io.Reader) (bodies []string) {
			m := &mboxReader{r: bufio.NewReader(r)}
			for {
				if _, err := m.next(); err != nil {
					return bodies
				}
				head, whole, err := peekHeader(m)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(dropStatus(head, whole))
				if err != nil {
					t.Fatal(err)
				}
				bodies = append(bodies, string(body))
			}
		}
		// What comes out does not depend on how the bytes come in.
		if a, b := read(bytes.NewReader(data)), read(iotest.OneByteReader(bytes.NewReader(data))); !reflect.DeepEqual(a, b) {
			t.Errorf("read whole: %q\nbyte by byte: %q", a, b)
		}
	})
}
