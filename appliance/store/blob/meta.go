package blob

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

const (
	// ChunkSize is how many bytes of the body one chunk holds: small enough
	// that hundreds of sessions can hold one each, large enough that zstd
	// finds its repetitions and that a 50 MB message is 200 rows.
	ChunkSize = 256 << 10
	// HeadMax is the longest header block that gets a chunk of its own.
	HeadMax = 64 << 10

	metaVersion  = 1
	chunkVersion = 1
)

// Errors of reading. ErrDamaged means that bytes are not those once written;
// ErrNewer that a newer program wrote the row.
var (
	ErrDamaged = errors.New("blob: damaged")
	ErrNewer   = errors.New("blob: written by a newer program")
)

// Meta is what is known of a whole body.
type Meta struct {
	Size   int64             // bytes
	Head   int               // bytes in chunk 0, 0 where there is none
	Chunk  int               // bytes in each chunk from 1 on but the last
	SHA256 [sha256.Size]byte // of all bytes
}

// Chunks is one more than the highest chunk number.
func (m Meta) Chunks() int {
	rest := m.Size - int64(m.Head)
	if rest <= 0 {
		return 1
	}
	return 1 + int((rest+int64(m.Chunk)-1)/int64(m.Chunk))
}

// All gives the chunks' numbers, in order, and how many bytes of the body each holds.
func (m Meta) All() iter.Seq2[int, int] {
	return func(yield func(n, size int) bool) {
		for off := int64(0); off < m.Size; {
			n, start, size := m.locate(off)
			if !yield(n, size) {
				return
			}
			off = start + int64(size)
		}
	}
}

// locate tells which chunk holds the byte at off, where that chunk begins and how long it is.
func (m Meta) locate(off int64) (n int, start int64, size int) {
	if off < int64(m.Head) {
		return 0, 0, m.Head
	}
	k := (off - int64(m.Head)) / int64(m.Chunk)
	start = int64(m.Head) + k*int64(m.Chunk)
	return 1 + int(k), start, int(min(int64(m.Chunk), m.Size-start))
}

// Append appends the row of m.
func (m Meta) Append(b []byte) []byte {
	b = append(b, metaVersion)
	b = binary.AppendUvarint(b, uint64(m.Size))
	b = binary.AppendUvarint(b, uint64(m.Head))
	b = binary.AppendUvarint(b, uint64(m.Chunk))
	return append(b, m.SHA256[:]...)
}

// ParseMeta reads the row of a Meta.
func ParseMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) == 0 {
		return m, fmt.Errorf("%w: empty record", ErrDamaged)
	}
	if b[0] > metaVersion {
		return m, ErrNewer
	}
	b = b[1:]
	var v [3]uint64
	for i := range v {
		x, n := binary.Uvarint(b)
		if n <= 0 || x > 1<<50 {
			return m, fmt.Errorf("%w: record", ErrDamaged)
		}
		v[i], b = x, b[n:]
	}
	if len(b) != sha256.Size || v[1] > v[0] || v[1] > HeadMax || v[2] == 0 || v[2] > 64<<20 {
		return m, fmt.Errorf("%w: record", ErrDamaged)
	}
	m.Size, m.Head, m.Chunk = int64(v[0]), int(v[1]), int(v[2])
	copy(m.SHA256[:], b)
	return m, nil
}
