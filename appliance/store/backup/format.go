package backup

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"pillarbox/appliance/store/store"
)

// Errors of reading and making backups.
var (
	ErrNotBackup   = errors.New("backup: not a backup of this kind of store")
	ErrDamaged     = errors.New("backup: damaged")
	ErrCut         = errors.New("backup: cut short")
	ErrNewer       = errors.New("backup: made by a newer program")
	ErrUnknownBase = errors.New("backup: the store does not know the base; make a full backup")
	ErrChain       = errors.New("backup: not a full backup and its increments in order")
	ErrExtract     = errors.New("backup: an extract, not a whole backup")
	ErrNotFound    = errors.New("backup: not in the backup")
)

// formatVersion is that of the layout.
const formatVersion = 1

const magic = "PBXBKUP1"

// blockKind says what a block holds. Numbers are in files.
type blockKind byte

const (
	blockHeader  blockKind = 1
	blockNames   blockKind = 2
	blockRows    blockKind = 3
	blockKeys    blockKind = 4
	blockBodies  blockKind = 5
	blockTrailer blockKind = 6
)

const (
	methodPlain = 0
	methodZstd  = 1

	blockHead = 1 + 1 + 4 + 4 + 8
	// blockSize is where a block is full: zstd gains little beyond, and a
	// damaged block loses no more. A row that is larger gets a larger block.
	blockSize = 1 << 20
	// maxBlock is the largest block that is read; no row comes near it.
	maxBlock = 64 << 20
)

// Header tells what a backup is.
type Header struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`             // random, 32 hexadecimal digits
	Base    string    `json:"base,omitempty"` // the ID of the backup it is an increment to
	Created time.Time `json:"created"`
	Version uint64    `json:"version"` // of the store's snapshot
	Program string    `json:"program,omitempty"`
	Extract bool      `json:"extract,omitempty"` // a selection of a backup, not a whole one
}

// Full reports whether the backup stands by itself.
func (h *Header) Full() bool { return h.Base == "" }

// Trailer is the account at the end of a backup.
type Trailer struct {
	Names     int64           `json:"names"`
	Rows      int64           `json:"rows"` // without those of bodies
	Keys      int64           `json:"keys"`
	Bodies    int64           `json:"bodies"`
	BodyBytes int64           `json:"body_bytes"` // as stored: compressed
	Bytes     int64           `json:"bytes"`      // of the backup before this block
	Damage    []store.Problem `json:"damage,omitempty"`
	SHA256    string          `json:"sha256"`
}

// pack makes a block of raw. dst is used for it where it is large enough.
func pack(enc *zstd.Encoder, dst []byte, kind blockKind, raw []byte) []byte {
	dst = append(dst[:0], make([]byte, blockHead)...)
	dst = enc.EncodeAll(raw, dst)
	dst[1] = methodZstd
	if len(dst) >= blockHead+len(raw) {
		dst = append(dst[:blockHead], raw...)
		dst[1] = methodPlain
	}
	dst[0] = byte(kind)
	binary.BigEndian.PutUint32(dst[2:], uint32(len(raw)))
	binary.BigEndian.PutUint32(dst[6:], uint32(len(dst)-blockHead))
	binary.BigEndian.PutUint64(dst[10:], xxhash.Sum64(raw))
	return dst
}

// head is what stands before a block's data.
type head struct {
	kind        blockKind
	method      byte
	raw, stored uint32
	hash        uint64
}

func parseHead(b *[blockHead]byte) (head, error) {
	h := head{blockKind(b[0]), b[1], binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:]), binary.BigEndian.Uint64(b[10:])}
	if h.kind < blockHeader || h.kind > blockTrailer || h.method > methodZstd || h.raw > maxBlock || h.stored > maxBlock {
		return h, fmt.Errorf("%w: head of a block", ErrDamaged)
	}
	return h, nil
}

// unpack gives the data of a block; dst is used for it where it is large enough.
func (h *head) unpack(dec *zstd.Decoder, dst, stored []byte) ([]byte, error) {
	raw := stored
	if h.method == methodZstd {
		var size zstd.Header
		if err := size.Decode(stored); err != nil || size.HasFCS && size.FrameContentSize != uint64(h.raw) {
			return nil, fmt.Errorf("%w: block of wrong length", ErrDamaged)
		}
		var err error
		if raw, err = dec.DecodeAll(stored, dst[:0]); err != nil {
			return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
		}
	}
	if len(raw) != int(h.raw) || xxhash.Sum64(raw) != h.hash {
		return nil, fmt.Errorf("%w: block does not match its hash", ErrDamaged)
	}
	return raw, nil
}

func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return nil
}
