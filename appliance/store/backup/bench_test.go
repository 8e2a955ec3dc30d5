package backup

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"pillarbox/appliance/store/store"
)

// benchStore is a store with n messages of about size bytes.
func benchStore(b *testing.B, n, size int) (*store.Store, store.AccountID, int64) {
	b.Helper()
	st, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "store"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	id, err := st.CreateAccount(b.Context(), store.Quota{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	fill(b, st, id, 0, n, size)
	s, err := st.Stats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return st, id, s.StoredBytes
}

func fill(b *testing.B, st *store.Store, id store.AccountID, from, n, size int) {
	b.Helper()
	var ds []store.Delivery
	for i := range n {
		text := message(from+i, size)
		body, err := st.Spool(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(body, text); err != nil {
			b.Fatal(err)
		}
		ds = append(ds, store.Delivery{Body: body, Facts: store.Facts{Size: int64(len(text)), MessageID: fmt.Sprint(i), Index: make([]byte, 300)},
			Placements: []store.Placement{{Account: id}}})
		if len(ds) == 64 || i == n-1 {
			if _, err := st.DeliverAll(b.Context(), ds); err != nil {
				b.Fatal(err)
			}
			ds = ds[:0]
		}
	}
}

// measure reports a rate in bytes of messages and in messages.
func measure(b *testing.B, stored int64, messages int, work func()) {
	b.Helper()
	b.SetBytes(stored)
	for b.Loop() {
		work()
	}
	b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

const (
	benchMessages = 20_000
	benchSize     = 20 << 10
)

func BenchmarkFull(b *testing.B) {
	st, _, stored := benchStore(b, benchMessages, benchSize)
	var s *Summary
	measure(b, stored, benchMessages, func() {
		var err error
		if s, err = Write(b.Context(), st, io.Discard, Options{}); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(float64(s.Bytes)/float64(stored), "size/stored")
}

// BenchmarkIncrement has a hundredth of the messages new.
func BenchmarkIncrement(b *testing.B) {
	st, id, stored := benchStore(b, benchMessages, benchSize)
	full, err := Write(b.Context(), st, io.Discard, Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := st.MarkBackup(b.Context(), full.Mark()); err != nil {
		b.Fatal(err)
	}
	fill(b, st, id, benchMessages, benchMessages/100, benchSize)
	var s *Summary
	measure(b, stored, benchMessages, func() {
		if s, err = Write(b.Context(), st, io.Discard, Options{Base: full.ID}); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(float64(s.Bytes)/float64(stored), "size/stored")
}

func BenchmarkRestore(b *testing.B) {
	st, _, stored := benchStore(b, benchMessages, benchSize)
	var file bytes.Buffer
	if _, err := Write(b.Context(), st, &file, Options{}); err != nil {
		b.Fatal(err)
	}
	n := 0
	measure(b, stored, benchMessages, func() {
		n++
		l, err := store.NewLoader(filepath.Join(b.TempDir(), fmt.Sprint("restored", n)), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		r, err := NewReader(bytes.NewReader(file.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		if err := Restore(b.Context(), l, Readers(r)); err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	st, _, stored := benchStore(b, benchMessages, benchSize)
	var file bytes.Buffer
	if _, err := Write(b.Context(), st, &file, Options{}); err != nil {
		b.Fatal(err)
	}
	measure(b, stored, benchMessages, func() {
		r, err := NewReader(bytes.NewReader(file.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		if _, err := Verify(b.Context(), r, func(p store.Problem) { b.Error(p) }); err != nil {
			b.Fatal(err)
		}
	})
}
