package vm

import (
	"bufio"
	"io"
	"net"
	"slices"
	"testing"
)

func TestDebugger(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	asked := make(chan string, 1)
	go func() {
		defer far.Close()
		b := make([]byte, len("$qAttached#8f"))
		_, err := io.ReadFull(far, b)
		asked <- string(b)
		if err != nil {
			return
		}
		// It confirms, tells unasked why the machine stopped, and answers.
		for _, packet := range []string{"+$T05thread:01;#07", "$1#31"} {
			if _, err := io.WriteString(far, packet); err != nil {
				return
			}
			if _, err := io.ReadFull(far, b[:1]); err != nil || b[0] != '+' {
				return
			}
		}
	}()
	answer, err := debugger{near, bufio.NewReader(near)}.ask("qAttached")
	if err != nil || answer != "1" {
		t.Errorf("got %q, %v", answer, err)
	}
	if got := <-asked; got != "$qAttached#8f" {
		t.Errorf("asked %q", got)
	}
}

func TestProcessor(t *testing.T) {
	const list = "CPU#0\nRAX=ffffffff814b7a10 RBX=ffff888003b1a3c0\nRIP=ffffffff814b7b0b RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\n" +
		"\nCPU#1\nRAX=0000000000000000 RBX=0000000000000001\nRIP=000000000047c8a3 RFL=00000202 [-------] CPL=3 II=0 A20=1 SMM=0 HLT=0\n"
	var got []string
	for _, p := range processor.FindAllStringSubmatch(list, -1) {
		got = append(got, p[1:]...)
	}
	if want := []string{"0", "ffffffff814b7b0b", "0", "1", "000000000047c8a3", "3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
