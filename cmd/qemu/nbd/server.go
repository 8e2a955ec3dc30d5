package nbd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
)

// The protocol as its document "proto.md" has it: fixed newstyle negotiation,
// simple replies, one export whose name does not matter.
const (
	magicInit   = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption = 0x49484156454f5054 // "IHAVEOPT"
	magicAnswer = 0x3e889045565a9
	magicAsk    = 0x25609513
	magicReply  = 0x67446698

	handshakeFixed    = 1 << 0
	handshakeNoZeroes = 1 << 1

	optExportName = 1
	optAbort      = 2
	optList       = 3
	optInfo       = 6
	optGo         = 7

	answerAck    = 1
	answerServer = 2
	answerInfo   = 3
	answerUnsup  = 1<<31 | 1

	infoExport    = 0
	infoBlockSize = 3

	// transmission is what the export can do: it has flags, flush, FUA.
	transmission = 1<<0 | 1<<2 | 1<<3

	cmdRead  = 0
	cmdWrite = 1
	cmdDisc  = 2
	cmdFlush = 3

	flagFUA = 1 << 0

	errIO    = 5
	errInval = 22

	// maxOption and maxRequest bound what a client may send at once.
	maxOption  = 4096
	maxRequest = 32 << 20
)

// Serve serves the disk to all who connect to l, until ctx ends. A connection
// is served one request after the other: when a flush comes, the writes before
// it are complete.
func Serve(ctx context.Context, l net.Listener, disk *Disk, log *slog.Logger) error {
	var (
		conns sync.WaitGroup
		mu    sync.Mutex
		open  = make(map[net.Conn]bool)
	)
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		disk.Close()
		mu.Lock()
		defer mu.Unlock()
		for conn := range open {
			conn.Close()
		}
	})
	defer stop()
	defer conns.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("nbd: %w", err)
		}
		mu.Lock()
		open[conn] = true
		if ctx.Err() != nil {
			conn.Close()
		}
		mu.Unlock()
		conns.Go(func() {
			err := serve(conn, disk)
			if err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) {
				log.Warn("connection to the disk ended", "error", err)
			}
			conn.Close()
			mu.Lock()
			delete(open, conn)
			mu.Unlock()
		})
	}
}

func serve(conn net.Conn, disk *Disk) error {
	s := &session{r: bufio.NewReaderSize(conn, 256<<10), w: bufio.NewWriterSize(conn, 256<<10), disk: disk}
	chosen, err := s.negotiate()
	if err != nil || !chosen {
		return err
	}
	return s.transmit()
}

type session struct {
	r    *bufio.Reader
	w    *bufio.Writer
	disk *Disk
}

// put writes big-endian values.
func (s *session) put(values ...any) error {
	for _, v := range values {
		if err := binary.Write(s.w, binary.BigEndian, v); err != nil {
			return err
		}
	}
	return nil
}

// negotiate goes through the options and reports whether the client has chosen
// the export.
func (s *session) negotiate() (bool, error) {
	if err := s.put(uint64(magicInit), uint64(magicOption), uint16(handshakeFixed|handshakeNoZeroes)); err != nil {
		return false, err
	}
	if err := s.w.Flush(); err != nil {
		return false, err
	}
	var client uint32
	if err := binary.Read(s.r, binary.BigEndian, &client); err != nil {
		return false, err
	}
	for {
		var head struct {
			Magic       uint64
			Option, Len uint32
		}
		if err := binary.Read(s.r, binary.BigEndian, &head); err != nil {
			return false, err
		}
		if head.Magic != magicOption || head.Len > maxOption {
			return false, fmt.Errorf("nbd: bad option %d of %d bytes", head.Option, head.Len)
		}
		data := make([]byte, head.Len)
		if _, err := io.ReadFull(s.r, data); err != nil {
			return false, err
		}
		done, chosen, err := s.option(head.Option, client)
		if err := errors.Join(err, s.w.Flush()); err != nil || done {
			return chosen, err
		}
	}
}

// option answers one option. done ends the negotiation.
func (s *session) option(option, client uint32) (done, chosen bool, err error) {
	switch option {
	case optExportName:
		err := s.put(uint64(s.disk.Size()), uint16(transmission))
		if client&handshakeNoZeroes == 0 {
			err = errors.Join(err, s.put(make([]byte, 124)))
		}
		return true, true, err
	case optInfo, optGo:
		// The block sizes make clients keep to whole sectors.
		err := errors.Join(
			s.answer(option, answerInfo, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64([]byte{0, infoExport}, uint64(s.disk.Size())), transmission)),
			s.answer(option, answerInfo, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0, infoBlockSize}, SectorSize), 4096), maxRequest)),
			s.answer(option, answerAck, nil),
		)
		return option == optGo, option == optGo, err
	case optList:
		return false, false, errors.Join(s.answer(option, answerServer, make([]byte, 4)), s.answer(option, answerAck, nil))
	case optAbort:
		return true, false, s.answer(option, answerAck, nil)
	}
	return false, false, s.answer(option, answerUnsup, nil)
}

func (s *session) answer(option, kind uint32, data []byte) error {
	return s.put(uint64(magicAnswer), option, kind, uint32(len(data)), data)
}

// transmit serves requests until the client leaves.
func (s *session) transmit() error {
	for {
		var req struct {
			Magic       uint32
			Flags, Type uint16
			Cookie      uint64
			Offset      uint64
			Len         uint32
		}
		if err := binary.Read(s.r, binary.BigEndian, &req); err != nil {
			return err
		}
		if req.Magic != magicAsk || req.Len > maxRequest {
			return fmt.Errorf("nbd: bad request: magic %#x, %d bytes", req.Magic, req.Len)
		}
		var data []byte
		if req.Type == cmdRead || req.Type == cmdWrite {
			data = make([]byte, req.Len)
		}
		var err error
		switch req.Type {
		case cmdDisc:
			return nil
		case cmdRead:
			_, err = s.disk.ReadAt(data, int64(req.Offset))
		case cmdWrite:
			if _, err := io.ReadFull(s.r, data); err != nil {
				return err
			}
			if req.Flags&flagFUA != 0 {
				err = s.disk.WriteThrough(data, int64(req.Offset))
			} else {
				_, err = s.disk.WriteAt(data, int64(req.Offset))
			}
			data = nil
		case cmdFlush:
			err = s.disk.Flush()
		default:
			err = errUnknown
		}
		if errors.Is(err, ErrPowerOff) {
			return err // a drive without power answers nothing
		}
		code := uint32(0)
		switch {
		case errors.Is(err, errUnknown):
			code, data = errInval, nil
		case err != nil:
			code, data = errIO, nil
		}
		if err := s.put(uint32(magicReply), code, req.Cookie, data); err != nil {
			return err
		}
		if s.r.Buffered() == 0 {
			if err := s.w.Flush(); err != nil {
				return err
			}
		}
	}
}

var errUnknown = errors.New("nbd: unknown command")
