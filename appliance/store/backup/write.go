package backup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"pillarbox/appliance/store/store"
)

// Options say what backup to make.
type Options struct {
	// Base is the ID of the backup to make an increment to, "" for a full one.
	Base string
	// Program is named in the header.
	Program string
	// Names, where set, calls fn with each address that has an account, so
	// that a part of the backup can be asked for by address.
	Names func(ctx context.Context, fn func(address string, id store.AccountID) error) error
	// Now is the clock; time.Now where nil.
	Now func() time.Time
	// Progress, where set, is called now and then with the bytes written.
	Progress func(bytes int64)
}

// Summary is what a backup came to.
type Summary struct {
	Header
	Trailer
}

// Mark is what the store is to remember (store.Store.MarkBackup) once the
// backup is safe where it was written to.
func (s *Summary) Mark() store.BackupMark {
	return store.BackupMark{ID: s.ID, Version: s.Version, At: s.Created}
}

// Write writes a backup of the store as of now to w while the store goes on
// working. An increment can be made to it once it was marked, see Summary.Mark.
func Write(ctx context.Context, st *store.Store, w io.Writer, o Options) (*Summary, error) {
	since, err := baseVersion(ctx, st, o.Base)
	if err != nil {
		return nil, err
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	snap := st.Snapshot()
	defer snap.Close()
	s := &Summary{Header: Header{Format: formatVersion, ID: newID(), Base: o.Base,
		Created: now().UTC().Truncate(time.Millisecond), Version: snap.Version(), Program: o.Program}}
	err = seal(w, o.Progress, s, func(out *sealer) error {
		if o.Names != nil {
			if err := writeNames(ctx, o.Names, out, s); err != nil {
				return err
			}
		}
		err := writeAll(ctx, snap, since, out, s)
		s.Damage = snap.Damage
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return s, nil
}

func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// seal writes a backup with the header in s, what fill passes on, and the
// trailer, which it completes.
func seal(w io.Writer, progress func(int64), s *Summary, fill func(*sealer) error) error {
	out, err := newSealer(w, progress)
	if err != nil {
		return err
	}
	h, err := json.Marshal(&s.Header)
	if err == nil {
		err = out.raw(blockHeader, h)
	}
	if err == nil {
		err = fill(out)
	}
	if cerr := out.close(); err == nil {
		err = cerr
	}
	if err == nil {
		s.Bytes, s.SHA256 = out.bytes, hex.EncodeToString(out.hash.Sum(nil))
		err = out.trailer(&s.Trailer)
	}
	return err
}

func writeNames(ctx context.Context, names func(context.Context, func(string, store.AccountID) error) error, out *sealer, s *Summary) error {
	rows := rowWriter{out: out, kind: blockNames, values: true}
	err := names(ctx, func(address string, id store.AccountID) error {
		s.Names++
		return rows.add([]byte(address), binary.AppendUvarint(nil, uint64(id)))
	})
	if err != nil {
		return err
	}
	return rows.flush()
}

// baseVersion finds the version that an increment starts after.
func baseVersion(ctx context.Context, st *store.Store, base string) (uint64, error) {
	if base == "" {
		return 0, nil
	}
	marks, err := st.BackupMarks(ctx)
	if err != nil {
		return 0, err
	}
	for _, m := range marks {
		if m.ID == base {
			return m.Version, nil
		}
	}
	return 0, fmt.Errorf("%w: %s", ErrUnknownBase, base)
}

func writeAll(ctx context.Context, snap *store.Snapshot, since uint64, out *sealer, s *Summary) error {
	rows := rowWriter{out: out, kind: blockRows, values: true}
	err := snap.Head(ctx, since, func(k, v []byte) error {
		s.Rows++
		return rows.add(k, v)
	})
	if err != nil {
		return err
	}
	if err := rows.flush(); err != nil {
		return err
	}
	if !s.Full() {
		keys := rowWriter{out: out, kind: blockKeys}
		err := snap.Keys(ctx, func(k []byte) error {
			s.Keys++
			return keys.add(k, nil)
		})
		if err != nil {
			return err
		}
		// An increment of an emptied store has a block of no keys: it removes all.
		if err := keys.end(); err != nil {
			return err
		}
	}
	bodies := rowWriter{out: out, kind: blockBodies, values: true}
	err = snap.Bodies(ctx, since, func(k, v []byte) error {
		switch store.KindOf(k) {
		case store.RowBody:
			s.Bodies++
		case store.RowChunk:
			s.BodyBytes += int64(len(v))
		}
		return bodies.add(k, v)
	})
	if err != nil {
		return err
	}
	return bodies.flush()
}

// rowWriter puts rows into blocks.
type rowWriter struct {
	out    *sealer
	kind   blockKind
	values bool
	buf    []byte
	last   []byte
}

func (w *rowWriter) add(k, v []byte) error {
	if len(w.buf) > 0 && len(w.buf)+len(k)+len(v) > blockSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.buf == nil {
		w.buf = w.out.buffer()
	}
	shared := 0
	for shared < min(len(k), len(w.last)) && k[shared] == w.last[shared] {
		shared++
	}
	w.buf = binary.AppendUvarint(w.buf, uint64(shared))
	w.buf = binary.AppendUvarint(w.buf, uint64(len(k)-shared))
	w.buf = append(w.buf, k[shared:]...)
	if w.values {
		w.buf = binary.AppendUvarint(w.buf, uint64(len(v)))
		w.buf = append(w.buf, v...)
	}
	w.last = append(w.last[:0], k...)
	return nil
}

// flush passes on what is in the buffer.
func (w *rowWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	return w.end()
}

// end passes on the buffer, empty or not.
func (w *rowWriter) end() error {
	b := w.buf
	w.buf, w.last = nil, w.last[:0]
	return w.out.raw(w.kind, b)
}

// sealer compresses, hashes and writes blocks in a goroutine of its own while
// the next one is being filled.
type sealer struct {
	w        io.Writer
	enc      *zstd.Encoder
	hash     hash.Hash
	bytes    int64
	progress func(int64)

	in   chan rawBlock
	free chan []byte
	done chan struct{}
	err  error // set before done is closed
}

type rawBlock struct {
	kind blockKind
	data []byte
}

// sealerBlocks are the blocks under way at a time.
const sealerBlocks = 3

func newSealer(w io.Writer, progress func(int64)) (*sealer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(blockSize), zstd.WithEncoderCRC(false)) // the block has its own hash
	if err != nil {
		return nil, err
	}
	s := &sealer{w: w, enc: enc, hash: sha256.New(), progress: progress,
		in: make(chan rawBlock), free: make(chan []byte, sealerBlocks), done: make(chan struct{})}
	go s.run()
	return s, nil
}

func (s *sealer) run() {
	defer close(s.done)
	if s.err = s.write([]byte(magic)); s.err != nil {
		return
	}
	var block []byte
	for b := range s.in {
		block = pack(s.enc, block, b.kind, b.data)
		select {
		case s.free <- b.data[:0]:
		default:
		}
		if s.err = s.write(block); s.err != nil {
			return
		}
	}
}

func (s *sealer) write(p []byte) error {
	n, err := s.w.Write(p)
	if err != nil {
		return err
	}
	s.hash.Write(p)
	s.bytes += int64(n)
	if s.progress != nil {
		s.progress(s.bytes)
	}
	return nil
}

// buffer gives an empty buffer for a block.
func (s *sealer) buffer() []byte {
	select {
	case b := <-s.free:
		return b
	default:
		return make([]byte, 0, blockSize+blockSize/4)
	}
}

// raw passes on a block; data is the sealer's from here on.
func (s *sealer) raw(kind blockKind, data []byte) error {
	select {
	case s.in <- rawBlock{kind, data}:
		return nil
	case <-s.done:
		return s.err
	}
}

// close waits until all is written.
func (s *sealer) close() error {
	close(s.in)
	<-s.done
	return s.err
}

// trailer writes the last block, after close.
func (s *sealer) trailer(t *Trailer) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	defer s.enc.Close()
	_, err = s.w.Write(pack(s.enc, nil, blockTrailer, b))
	return err
}
