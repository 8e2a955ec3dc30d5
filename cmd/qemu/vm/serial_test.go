package vm

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestStrip(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "a\r\nb\tc", "a\nb\tc"},
		{"colours", "\x1b[1;31mred\x1b[0m", "red"},
		{"cursor moved", "left\x1b[2;40Hright", "left\nright"},
		{"title", "\x1b]0;title\x07text\x1b]2;other\x1b\\more", "textmore"},
		{"charset", "\x1b(Bx", "x"},
		{"keypad", "\x1b=\x1b>x", "x"},
		{"private", "\x1b[?1049hx\x1b[?25ly", "xy"},
		{"umlaut", "Größe ─", "Größe ─"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for cut := range len(tt.in) {
				var s stripper
				got := s.append(nil, []byte(tt.in[:cut]))
				got = s.append(got, []byte(tt.in[cut:]))
				if string(got) != tt.want {
					t.Fatalf("cut at %d: got %q, want %q", cut, got, tt.want)
				}
			}
		})
	}
}

func TestKeys(t *testing.T) {
	got := keys("a\x1b[B\x1b[15~\r\x1b[")
	if want := []string{"a", "\x1b[B", "\x1b[15~", "\r", "\x1b["}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExpect(t *testing.T) {
	guest, host := net.Pipe()
	s, err := newSerial(host, filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	go io.WriteString(guest, "boot took 1.5s\r\nlogin: ")
	if got, err := s.Expect(t.Context(), `took ([0-9.]+)s`); err != nil || !slices.Equal(got, []string{"took 1.5s", "1.5"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := s.Expect(t.Context(), `login:`); err != nil {
		t.Error(err)
	}
	go s.Type(t.Context(), "hi")
	typed := make([]byte, 2)
	if _, err := io.ReadFull(guest, typed); err != nil || string(typed) != "hi" {
		t.Errorf("guest got %q, %v", typed, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Expect(ctx, `login:`); !errors.Is(err, context.Canceled) {
		t.Errorf("what was expected before came again: %v", err)
	}
	guest.Close()
	if _, err := s.Expect(t.Context(), `never`); !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), `"never"`) {
		t.Errorf("got %v", err)
	}
}

func TestParseForwards(t *testing.T) {
	got := parseForwards("Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n" +
		"  TCP[HOST_FORWARD]  13       127.0.0.1 34567       10.0.2.15    25     0     0\r\n" +
		"  TCP[ESTABLISHED]   14       127.0.0.1 34567       10.0.2.15    25     0     0\r\n" +
		"  UDP[236 sec]       15       10.0.2.15 40000        10.0.2.3    53     0     0\r\n")
	if len(got) != 1 || got[25] != "127.0.0.1:34567" {
		t.Errorf("got %v", got)
	}
}

// TestMonitor answers as QEMU does.
func TestMonitor(t *testing.T) {
	qemu, host := net.Pipe()
	lines := make(chan string)
	go func() {
		io.WriteString(qemu, `{"QMP": {"version": {}, "capabilities": []}}`+"\r\n")
		buf := make([]byte, 4096)
		for _, answer := range []string{`{"return": {}, "id": 1}`, `{"event": "STOP"}` + "\n" + `{"return": "late", "id": 1}` + "\n" + `{"return": "text", "id": 2}`, `{"id": 3, "error": {"class": "GenericError", "desc": "no"}}`} {
			n, err := qemu.Read(buf)
			if err != nil {
				return
			}
			lines <- string(buf[:n])
			io.WriteString(qemu, answer+"\n")
		}
		n, _ := qemu.Read(buf)
		lines <- string(buf[:n])
		qemu.Close()
	}()
	go func() {
		for range lines {
		}
	}()
	m, err := newMonitor(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	if err := m.call(t.Context(), "a", nil, &text); err != nil || text != "text" {
		t.Errorf("got %q, %v", text, err)
	}
	if err := m.call(t.Context(), "b", map[string]any{"x": 1}, nil); err == nil || !strings.Contains(err.Error(), "GenericError: no") {
		t.Errorf("got %v", err)
	}
	if err := m.call(t.Context(), "quit", nil, nil); !errors.Is(err, errMonitorGone) {
		t.Errorf("got %v", err)
	}
}
