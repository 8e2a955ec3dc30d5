package imapd

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"
)

// pieces keeps what is written, write by write.
type pieces [][]byte

func (p *pieces) Write(b []byte) (int, error) {
	*p = append(*p, bytes.Clone(b))
	return len(b), nil
}

// TestCompressedResponseIsOnePiece holds the compressor to one write, so one
// TLS record, for a response, which can be read at once.
func TestCompressedResponseIsOnePiece(t *testing.T) {
	var got pieces
	s := &squasher{&got}
	texts := []string{"* OK Hello\r\n", strings.Repeat("* 1 FETCH (FLAGS ())\r\n", 1000), "a OK Done\r\n"}
	var sent bytes.Buffer
	for i, text := range texts {
		if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		if len(got) != i+1 {
			t.Fatalf("%q was written in %d pieces", text, len(got)-i)
		}
		sent.Write(got[i])
		plain := make([]byte, 1<<20)
		n, _ := io.ReadFull(flate.NewReader(bytes.NewReader(sent.Bytes())), plain) // the stream goes on
		if want := strings.Join(texts[:i+1], ""); string(plain[:n]) != want {
			t.Errorf("after %d responses %d bytes can be read, want %d", i+1, n, len(want))
		}
	}
}
