package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// rows keeps what a Writer puts.
type rows map[int][]byte

func (r rows) put(n int, row []byte) error { r[n] = row; return nil }

func (r rows) fetch(_ context.Context, n int, fn func([]byte) error) error {
	row, ok := r[n]
	if !ok {
		return fmt.Errorf("no row %d", n)
	}
	return fn(row)
}

func newCodec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// bodies are of all lengths that make a difference, half of each text and half noise.
func bodies() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	var out [][]byte
	for _, head := range []string{"", "\r\n", "Subject: x\r\n\r\n", "no blank line", string(bytes.Repeat([]byte("X: y\r\n"), HeadMax/5)) + "\r\n"} {
		for _, n := range []int{0, 1, packMin, 5000, ChunkSize - 20, ChunkSize, ChunkSize + 1, 3*ChunkSize + 77} {
			b := []byte(head)
			for len(b) < len(head)+n/2 {
				b = fmt.Appendf(b, "line %d of some words\r\n", len(b))
			}
			for len(b) < len(head)+n {
				b = append(b, byte(r.Uint32()))
			}
			out = append(out, b)
		}
	}
	return out
}

func write(t testing.TB, c *Codec, body []byte) (rows, Meta) {
	t.Helper()
	r := rows{}
	w := NewWriter(c, r.put)
	for p := range slices.Chunk(body, 32<<10) {
		if _, err := w.Write(p); err != nil {
			t.Error(err)
		}
	}
	m, err := w.Finish()
	if err != nil {
		t.Error(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a finished body was written to")
	}
	return r, m
}

// TestRoundTrip writes bodies from many goroutines, which share the codec's
// buffers, and reads them back whole and in part.
func TestRoundTrip(t *testing.T) {
	c := newCodec(t)
	var all sync.WaitGroup
	for _, body := range bodies() {
		all.Go(func() {
			kept, m := write(t, c, body)
			if got, err := ParseMeta(m.Append(nil)); err != nil || got != m {
				t.Errorf("meta %+v reads as %+v, %v", m, got, err)
			}
			if m.Size != int64(len(body)) || len(kept) > m.Chunks() {
				t.Errorf("%d bytes in %d rows: %+v", len(body), len(kept), m)
			}
			r := NewReader(t.Context(), c, m, kept.fetch)
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes do not come back: %d, %v", len(body), len(got), err)
			}
			for _, off := range []int{0, m.Head - 1, m.Head, len(body) / 2, len(body) - 1} {
				if off < 0 || off >= len(body) {
					continue
				}
				p := make([]byte, min(100, len(body)-off))
				if _, err := r.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, body[off:off+len(p)]) {
					t.Errorf("at %d of %d: %v", off, len(body), err)
				}
			}
		})
	}
	all.Wait()
}

// TestTail reads bodies that are still being written.
func TestTail(t *testing.T) {
	c := newCodec(t)
	for _, body := range bodies() {
		kept := rows{}
		w := NewWriter(c, kept.put)
		for p := range slices.Chunk(body, 100<<10) {
			if _, err := w.Write(p); err != nil {
				t.Fatal(err)
			}
			base, tail := w.Tail()
			got, err := io.ReadAll(NewTailReader(t.Context(), c, w.Meta(), base, bytes.Clone(tail), kept.fetch))
			if err != nil || !bytes.Equal(got, body[:w.Size()]) {
				t.Errorf("%d of %d bytes: %d, %v", w.Size(), len(body), len(got), err)
			}
		}
	}
}

func TestDamage(t *testing.T) {
	c := newCodec(t)
	body := bodies()[15] // two chunks and a header block
	kept, m := write(t, c, body)
	for n, row := range kept {
		for _, broken := range [][]byte{
			{}, row[:chunkHead-1], row[:chunkHead], row[:len(row)-1], append(bytes.Clone(row), 0),
			slices.Concat(row[:2], make([]byte, 8), row[chunkHead:]),
			slices.Concat([]byte{chunkVersion, 9}, row[2:]),
		} {
			kept[n] = broken
			if _, err := io.ReadAll(NewReader(t.Context(), c, m, kept.fetch)); !errors.Is(err, ErrDamaged) {
				t.Errorf("chunk %d as %d bytes of %d: %v", n, len(broken), len(row), err)
			}
		}
		kept[n] = append([]byte{chunkVersion + 1}, row[1:]...)
		if _, err := io.ReadAll(NewReader(t.Context(), c, m, kept.fetch)); !errors.Is(err, ErrNewer) {
			t.Errorf("chunk %d of a newer program: %v", n, err)
		}
		kept[n] = row
	}
	m.SHA256[0] ^= 1
	if _, err := io.ReadAll(NewReader(t.Context(), c, m, kept.fetch)); !errors.Is(err, ErrDamaged) {
		t.Errorf("another body's hash: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	c := newCodec(f)
	for _, n := range []int{0, 10, 5000} {
		f.Add(c.Pack(bytes.Repeat([]byte("text "), n)), 5*n)
	}
	f.Fuzz(func(t *testing.T, row []byte, size int) {
		if got, err := c.Unpack(nil, row, size); err == nil && len(got) != size {
			t.Errorf("%d bytes, want %d", len(got), size)
		}
	})
}

func FuzzParseMeta(f *testing.F) {
	f.Add(Meta{Size: 1 << 20, Head: 500, Chunk: ChunkSize}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMeta(b)
		if err != nil {
			return
		}
		if got, err := ParseMeta(m.Append(nil)); err != nil || got != m {
			t.Errorf("%+v reads as %+v, %v", m, got, err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	c := newCodec(b)
	body := bodies()[19]
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		c.Pack(body)
	}
}
