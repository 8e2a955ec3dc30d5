package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Section says which part of a backup a row is in.
type Section uint8

// The sections, in the order they come in.
const (
	Names Section = iota + 1
	Rows
	Keys
	Bodies
)

// Reader reads a backup row by row. It checks all it passes on; only when
// Next has answered io.EOF is it known that the backup is whole.
type Reader struct {
	in    *bufio.Reader
	alone bool // nothing may follow
	dec   *zstd.Decoder
	hash  hash.Hash
	size  int64

	header  Header
	trailer *Trailer
	counted Trailer

	stored, spare []byte // buffers
	block         []byte // what is left of the block
	section       Section
	hasKeys       bool
	key           []byte
	value         []byte
	unread        bool
	err           error
}

// NewReader begins to read a backup that is not encrypted (see Decrypt). Close
// frees it.
func NewReader(in io.Reader) (*Reader, error) {
	return newReader(bufio.NewReaderSize(in, 64<<10), true)
}

// PeekHeader reads the header of a backup that is not encrypted, and gives
// what is to be read in place of in: the whole backup.
func PeekHeader(in io.Reader) (Header, io.Reader, error) {
	b := bufio.NewReaderSize(in, 64<<10)
	// A header is a few hundred bytes; all of it and what follows fits.
	start, err := b.Peek(len(magic) + blockHead)
	if err == nil {
		n := uint64(binary.BigEndian.Uint32(start[len(magic)+6:]))
		start, err = b.Peek(len(start) + int(min(n, 32<<10)))
	}
	if err != nil && err != io.EOF {
		return Header{}, nil, fmt.Errorf("backup: read: %w", err)
	}
	r, err := newReader(bufio.NewReader(bytes.NewReader(start)), false)
	if err != nil {
		return Header{}, nil, err
	}
	defer r.Close()
	return r.header, b, nil
}

// Sequence gives the backups that follow each other in one stream: at each
// call the next, which is to be read to its end before the call after;
// io.EOF where the stream ends.
func Sequence(in io.Reader) func() (*Reader, error) {
	b := bufio.NewReaderSize(in, 64<<10)
	return func() (*Reader, error) {
		if _, err := b.Peek(1); err != nil {
			return nil, err
		}
		return newReader(b, false)
	}
}

// Readers gives the readers one by one, as Sequence does.
func Readers(list ...*Reader) func() (*Reader, error) {
	return func() (*Reader, error) {
		if len(list) == 0 {
			return nil, io.EOF
		}
		r := list[0]
		list = list[1:]
		return r, nil
	}
}

func newReader(in *bufio.Reader, alone bool) (*Reader, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		return nil, err
	}
	r := &Reader{in: in, alone: alone, dec: dec, hash: sha256.New()}
	if err := r.start(); err != nil {
		dec.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) start() error {
	var m [len(magic)]byte
	if _, err := io.ReadFull(r.in, m[:]); err != nil || string(m[:]) != magic {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		return ErrNotBackup
	}
	r.hash.Write(m[:])
	r.size = int64(len(m))
	h, data, err := r.readBlock()
	if err != nil {
		return err
	}
	if h.kind != blockHeader {
		return fmt.Errorf("%w: no header", ErrDamaged)
	}
	if err := unmarshal(data, &r.header); err != nil {
		return err
	}
	if r.header.Format > formatVersion {
		return fmt.Errorf("%w: format %d, this program knows %d", ErrNewer, r.header.Format, formatVersion)
	}
	return nil
}

// Close frees the reader's buffers. It does not close what it read from.
func (r *Reader) Close() { r.dec.Close() }

// Header tells what the backup is.
func (r *Reader) Header() Header { return r.header }

// Next gives the next row; in section Keys without value. Both slices are
// valid until the next call. Its errors are final.
func (r *Reader) Next() (s Section, key, value []byte, err error) {
	if r.unread {
		r.unread = false
		return r.section, r.key, r.value, nil
	}
	for r.err == nil && len(r.block) == 0 {
		r.err = r.nextBlock()
	}
	if r.err == nil {
		r.err = r.row()
	}
	if r.err != nil {
		return 0, nil, nil, r.err
	}
	return r.section, r.key, r.value, nil
}

// back makes Next give the same row once more.
func (r *Reader) back() { r.unread = true }

// nextBlock reads the next block; io.EOF after a trailer that is right.
func (r *Reader) nextBlock() error {
	sum := [sha256.Size]byte(r.hash.Sum(nil))
	size := r.size
	h, data, err := r.readBlock()
	if err != nil {
		return err
	}
	section := Section(h.kind-blockNames) + Names
	switch {
	case h.kind == blockHeader:
		return fmt.Errorf("%w: two headers", ErrDamaged)
	case h.kind == blockTrailer:
		return r.end(data, sum, size)
	case section < r.section, section == Keys && r.header.Full():
		return fmt.Errorf("%w: blocks out of order", ErrDamaged)
	}
	r.hasKeys = r.hasKeys || section == Keys
	r.section, r.block = section, data
	r.key = r.key[:0]
	return nil
}

// end compares the trailer with what was read.
func (r *Reader) end(data []byte, sum [sha256.Size]byte, size int64) error {
	var t Trailer
	if err := unmarshal(data, &t); err != nil {
		return err
	}
	c := &r.counted
	switch {
	case t.SHA256 != hex.EncodeToString(sum[:]) || t.Bytes != size:
		return fmt.Errorf("%w: the whole does not match its hash", ErrDamaged)
	case t.Names != c.Names || t.Rows != c.Rows || t.Keys != c.Keys || !r.header.Full() && !r.hasKeys:
		return fmt.Errorf("%w: rows are missing", ErrDamaged)
	}
	if r.alone {
		if _, err := r.in.Peek(1); err != io.EOF {
			return fmt.Errorf("%w: something follows the end", ErrDamaged)
		}
	}
	r.trailer = &t
	return io.EOF
}

// readBlock reads, checks and unpacks a block. Its data are valid until the next call.
func (r *Reader) readBlock() (head, []byte, error) {
	var b [blockHead]byte
	if err := r.fill(b[:]); err != nil {
		return head{}, nil, err
	}
	h, err := parseHead(&b)
	if err != nil {
		return h, nil, err
	}
	// The length is not trusted with memory before its bytes have come.
	r.stored = r.stored[:0]
	for len(r.stored) < int(h.stored) {
		at := len(r.stored)
		r.stored = append(r.stored, make([]byte, min(int(h.stored)-at, blockSize))...)
		if err := r.fill(r.stored[at:]); err != nil {
			return h, nil, err
		}
	}
	data, err := h.unpack(r.dec, r.spare, r.stored)
	if err != nil {
		return h, nil, err
	}
	if h.method == methodZstd {
		r.spare = data
	}
	return h, data, nil
}

func (r *Reader) fill(p []byte) error {
	_, err := io.ReadFull(r.in, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	if err != nil {
		return fmt.Errorf("backup: read: %w", err)
	}
	r.hash.Write(p)
	r.size += int64(len(p))
	return nil
}

// row takes a row from the block.
func (r *Reader) row() error {
	shared, ok1 := r.uint()
	rest, ok2 := r.bytes()
	if !ok1 || !ok2 || shared > uint64(len(r.key)) || shared == 0 && len(rest) == 0 {
		return fmt.Errorf("%w: row", ErrDamaged)
	}
	r.key = append(r.key[:shared], rest...)
	r.value = nil
	if r.section == Keys {
		r.counted.Keys++
		return nil
	}
	if r.value, ok1 = r.bytes(); !ok1 {
		return fmt.Errorf("%w: row", ErrDamaged)
	}
	switch r.section {
	case Names:
		r.counted.Names++
	case Rows:
		r.counted.Rows++
	}
	return nil
}

func (r *Reader) uint() (uint64, bool) {
	v, n := binary.Uvarint(r.block)
	if n <= 0 {
		return 0, false
	}
	r.block = r.block[n:]
	return v, true
}

func (r *Reader) bytes() ([]byte, bool) {
	n, ok := r.uint()
	if !ok || n > uint64(len(r.block)) {
		return nil, false
	}
	v := r.block[:n:n]
	r.block = r.block[n:]
	return v, true
}
