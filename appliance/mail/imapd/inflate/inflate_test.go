package inflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand"
	"strings"
	"testing"
	"testing/iotest"
)

func deflate(t testing.TB, level int, data []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// samples are data of several kinds, longer than the window some of them.
func samples() [][]byte {
	rnd := rand.New(rand.NewSource(1))
	noise := make([]byte, 100_000)
	rnd.Read(noise)
	text := []byte(strings.Repeat("A17 UID FETCH 1:* (FLAGS ENVELOPE)\r\n", 4000))
	mixed := append(append([]byte{}, text...), noise...)
	return [][]byte{nil, []byte("x"), text, noise, mixed, make([]byte, 200_000)}
}

func TestReader(t *testing.T) {
	for i, data := range samples() {
		for _, level := range []int{flate.NoCompression, flate.HuffmanOnly, flate.BestSpeed, flate.BestCompression} {
			z := deflate(t, level, data)
			for name, src := range map[string]io.Reader{
				"whole": bytes.NewReader(z), "bytes": iotest.OneByteReader(bytes.NewReader(z)),
			} {
				got, err := io.ReadAll(NewReader(src))
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("sample %d level %d %s: %d bytes of %d, %v", i, level, name, len(got), len(data), err)
				}
			}
		}
	}
}

// errWait is what a source answers that would wait.
var errWait = errors.New("nothing more for now")

// TestBeforeTheEnd cuts a stream in the middle of a block: all that the bytes
// say comes out before the reader asks for more.
func TestBeforeTheEnd(t *testing.T) {
	data := samples()[2]
	z := deflate(t, flate.BestCompression, data)
	for cut := 1; cut < len(z); cut += 1 + len(z)/50 {
		// The library's reader hands all on where its source fails.
		want, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(z[:cut]), iotest.ErrReader(errWait))))
		if !errors.Is(err, errWait) {
			t.Fatal(err)
		}
		r := NewReader(io.MultiReader(bytes.NewReader(z[:cut]), iotest.ErrReader(errWait)))
		var got []byte
		buf := make([]byte, 700)
		for {
			n, err := r.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, errWait) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(data, got) || len(got) < len(want) {
			t.Errorf("cut at %d: %d bytes, want %d", cut, len(got), len(want))
		}
	}
}

func TestCorrupt(t *testing.T) {
	for _, in := range []string{"\x07", "\x00\x01\x00\x00\x00", "\x05\xe0\xff\xff\xff", "\x63\x04\x61"} {
		if _, err := io.ReadAll(NewReader(strings.NewReader(in))); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
	if _, err := io.ReadAll(NewReader(strings.NewReader("\x01\x05\x00\xfa\xffab"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a block: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	for _, data := range samples()[:3] {
		f.Add(deflate(f, flate.BestCompression, data))
	}
	f.Add([]byte("\x05\xe0\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(in)), limit))
		got, err := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(in)), limit))
		if wantErr == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%d bytes and %v, want %d", len(got), err, len(want))
		}
		if err == nil && wantErr != nil && len(got) < limit && !errors.Is(wantErr, flate.CorruptInputError(0)) {
			// This reader takes incomplete codes that the library refuses.
			var corrupt flate.CorruptInputError
			if !errors.As(wantErr, &corrupt) {
				t.Fatalf("taken, but the library says %v", wantErr)
			}
		}
	})
}
