package blob

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
)

// Methods of compression, as they stand in a chunk row.
const (
	methodPlain = 0
	methodZstd  = 1
)

// chunkHead is the length of what stands before a chunk's data.
const chunkHead = 2 + 8

// packMin is the size below which zstd gains nothing.
const packMin = 64

// Codec compresses and checks chunks. It is safe for concurrent use; as many
// calls as there are processors work at once and the rest wait, so that its
// memory is bounded.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder

	buffers sync.Pool // of *[]byte, for the chunks of Writers and Readers and for rows being packed
}

// NewCodec makes a codec.
func NewCodec() (*Codec, error) {
	n := runtime.GOMAXPROCS(0)
	enc, err := zstd.NewWriter(nil,
		// The window first: else the level cuts blocks of 64 KiB, and most
		// messages that fit one block of 128 KiB are packed a quarter faster.
		zstd.WithWindowSize(ChunkSize), // no chunk is longer
		// Compression is the greatest part of the processor time a delivery
		// takes. The next level takes half as much again and makes real mail
		// 3 in 100 smaller.
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(n),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false), // the row has its own hash
	)
	if err != nil {
		return nil, fmt.Errorf("blob: zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(n),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(64<<20), // a damaged length must not ask for more
	)
	if err != nil {
		return nil, fmt.Errorf("blob: zstd: %w", err)
	}
	return &Codec{enc: enc, dec: dec}, nil
}

// Close frees the codec.
func (c *Codec) Close() {
	c.dec.Close()
	_ = c.enc.Close() // nothing was streamed, so nothing can be lost
}

// Pack makes the row of a chunk.
func (c *Codec) Pack(p []byte) []byte {
	var head [chunkHead]byte
	head[0], head[1] = chunkVersion, methodZstd
	binary.BigEndian.PutUint64(head[2:], xxhash.Sum64(p))
	if len(p) >= packMin {
		b := c.buffer()
		defer c.buffers.Put(b)
		*b = c.enc.EncodeAll(p, append(*b, head[:]...))
		if len(*b) < chunkHead+len(p) {
			return bytes.Clone(*b) // rows wait in memory: no longer than they must be
		}
	}
	head[1] = methodPlain
	return append(head[:], p...)
}

// buffer gives an empty buffer; who is done with it puts it back.
func (c *Codec) buffer() *[]byte {
	if b, ok := c.buffers.Get().(*[]byte); ok {
		*b = (*b)[:0]
		return b
	}
	return new([]byte)
}

// Unpack appends to dst the bytes of a chunk row, of which there must be size.
func (c *Codec) Unpack(dst, row []byte, size int) ([]byte, error) {
	if len(row) < chunkHead {
		return dst, fmt.Errorf("%w: short chunk", ErrDamaged)
	}
	if row[0] > chunkVersion {
		return dst, ErrNewer
	}
	start := len(dst)
	switch row[1] {
	case methodPlain:
		dst = append(dst, row[chunkHead:]...)
	case methodZstd:
		var h zstd.Header
		if err := h.Decode(row[chunkHead:]); err != nil || h.HasFCS && h.FrameContentSize != uint64(size) {
			return dst, fmt.Errorf("%w: chunk of wrong length", ErrDamaged)
		}
		var err error
		if dst, err = c.dec.DecodeAll(row[chunkHead:], dst); err != nil {
			return dst[:start], fmt.Errorf("%w: %v", ErrDamaged, err)
		}
	default:
		return dst, fmt.Errorf("%w: unknown method %d", ErrDamaged, row[1])
	}
	got := dst[start:]
	if len(got) != size || xxhash.Sum64(got) != binary.BigEndian.Uint64(row[2:]) {
		return dst[:start], fmt.Errorf("%w: chunk does not match its hash", ErrDamaged)
	}
	return dst, nil
}
