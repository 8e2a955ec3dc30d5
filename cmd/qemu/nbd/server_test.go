package nbd

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
)

// client is as much of a client as the tests need.
type client struct {
	t *testing.T
	net.Conn
}

func (c client) send(values ...any) {
	c.t.Helper()
	for _, v := range values {
		if err := binary.Write(c, binary.BigEndian, v); err != nil {
			c.t.Fatal(err)
		}
	}
}

func receive[T any](c client) T {
	c.t.Helper()
	var v T
	if err := binary.Read(c, binary.BigEndian, &v); err != nil {
		c.t.Fatal(err)
	}
	return v
}

func (c client) bytes(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// ask sends a request and returns the error code.
func (c client) ask(flags, kind uint16, off uint64, n int, data []byte) uint32 {
	c.t.Helper()
	c.send(uint32(magicAsk), flags, kind, uint64(42), off, uint32(n), data)
	if m := receive[uint32](c); m != magicReply {
		c.t.Fatalf("magic %#x", m)
	}
	code := receive[uint32](c)
	if id := receive[uint64](c); id != 42 {
		c.t.Fatalf("answer to %d", id)
	}
	return code
}

func serveTest(t *testing.T, d *Disk) func() client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Serve(ctx, l, d, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() client {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c := client{t, conn}
		if m := receive[uint64](c); m != magicInit {
			t.Fatalf("magic %#x", m)
		}
		receive[[10]byte](c)
		c.send(uint32(handshakeFixed | handshakeNoZeroes))
		return c
	}
}

func (c client) option(option uint32, data []byte) {
	c.send(uint64(magicOption), option, uint32(len(data)), data)
}

// answer reads an answer to an option and returns its kind and data.
func (c client) answer() (uint32, []byte) {
	receive[uint64](c)
	receive[uint32](c)
	kind := receive[uint32](c)
	return kind, c.bytes(int(receive[uint32](c)))
}

func TestServe(t *testing.T) {
	backing := make(memory, 1<<16)
	d := NewDisk(backing, int64(len(backing)))
	connect := serveTest(t, d)

	c := connect()
	c.option(99, []byte("x"))
	if kind, _ := c.answer(); kind != answerUnsup {
		t.Errorf("an unknown option: %#x", kind)
	}
	c.option(optGo, []byte{0, 0, 0, 0, 0, 0})
	kind, data := c.answer()
	if kind != answerInfo || binary.BigEndian.Uint64(data[2:]) != 1<<16 || binary.BigEndian.Uint16(data[10:]) != transmission {
		t.Errorf("answer %d %x", kind, data)
	}
	c.answer()
	if kind, _ := c.answer(); kind != answerAck {
		t.Errorf("answer %d", kind)
	}
	if code := c.ask(0, cmdWrite, 512, 1024, sectors(7, 2)); code != 0 {
		t.Errorf("write: %d", code)
	}
	if mark(backing[512:]) != 0 {
		t.Error("a write reached the backing store before a flush")
	}
	if code := c.ask(0, cmdRead, 512, 512, nil); code != 0 || mark(c.bytes(512)) != 7 {
		t.Errorf("read: %d", code)
	}
	if code := c.ask(0, cmdFlush, 0, 0, nil); code != 0 || mark(backing[512:]) != 7 {
		t.Errorf("flush: %d, the sector holds %d", code, mark(backing[512:]))
	}
	if code := c.ask(flagFUA, cmdWrite, 0, 512, sectors(9, 1)); code != 0 || mark(backing) != 9 {
		t.Errorf("write through: %d, the sector holds %d", code, mark(backing))
	}
	if code := c.ask(0, 77, 0, 0, nil); code != errInval {
		t.Errorf("an unknown command: %d", code)
	}
	if code := c.ask(0, cmdRead, 1<<16, 512, nil); code != errIO {
		t.Errorf("beyond the end: %d", code)
	}
	if s := d.Stats(); s.Writes != 2 || s.Flushes != 1 || s.Written != 1536 {
		t.Errorf("stats %+v", s)
	}
}

func TestExportName(t *testing.T) {
	d := NewDisk(make(memory, 1<<16), 1<<16)
	c := serveTest(t, d)()
	c.option(optExportName, nil)
	if size := receive[uint64](c); size != 1<<16 {
		t.Errorf("size %d", size)
	}
	receive[uint16](c)
	if code := c.ask(0, cmdFlush, 0, 0, nil); code != 0 {
		t.Errorf("flush: %d", code)
	}
}

// TestCutUnderClient cuts the power while a client writes: what it was told is
// flushed is there.
func TestCutUnderClient(t *testing.T) {
	for seed := range uint64(20) {
		backing := make(memory, 1<<16)
		d := NewDisk(backing, int64(len(backing)))
		c := serveTest(t, d)()
		c.option(optExportName, nil)
		receive[[10]byte](c)
		rng := rand.New(rand.NewPCG(seed, 2))
		gone := d.Arm(1 + rng.IntN(60))
		told := make(chan uint32, 1)
		go func() {
			defer close(told)
			for n := uint32(1); ; n++ {
				for _, req := range []struct {
					kind uint16
					data []byte
				}{{cmdWrite, sectors(n, 4)}, {cmdFlush, nil}} {
					head := binary.BigEndian.AppendUint32(nil, magicAsk)
					head = binary.BigEndian.AppendUint16(head, 0)
					head = binary.BigEndian.AppendUint16(head, req.kind)
					head = append(head, make([]byte, 16)...)
					head = binary.BigEndian.AppendUint32(head, uint32(len(req.data)))
					if _, err := c.Write(append(head, req.data...)); err != nil {
						told <- n - 1
						return
					}
					if _, err := io.ReadFull(c, make([]byte, 16)); err != nil {
						told <- n - 1
						return
					}
				}
			}
		}()
		<-gone
		if _, err := d.Settle(rng); err != nil {
			t.Fatal(err)
		}
		d.Close()
		flushed := <-told
		for i := range 4 {
			if got := mark(backing[i*SectorSize:]); got != flushed && got != flushed+1 {
				t.Fatalf("seed %d: sector %d holds %d, the client was told that %d is flushed", seed, i, got, flushed)
			}
		}
	}
}
