// Package kmsg reads what the kernel says: the records of /dev/kmsg, those from
// before this process began first (Documentation/ABI/testing/dev-kmsg of the
// kernel).
package kmsg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Path is the device.
const Path = "/dev/kmsg"

// maxRecord is more than the kernel makes of one record.
const maxRecord = 8 << 10

// Levels of a Record, as of syslog.
const (
	Error   = 3
	Warning = 4
)

// Record is one message.
type Record struct {
	Level int           // 0 (emergency) to 7 (debug)
	At    time.Duration // since the kernel began
	Text  string
}

// Read calls fn with each message until ctx ends or the device fails. Messages
// that were overwritten before they were read are passed over: the kernel's
// memory of them is bounded.
func Read(ctx context.Context, path string, fn func(Record)) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("messages of the kernel: %w", err)
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() }) // ends the read that waits
	defer stop()
	for b := make([]byte, maxRecord); ; {
		n, err := f.Read(b) // one record at a time
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINVAL):
			continue // overwritten; too long for b
		case err != nil:
			return fmt.Errorf("messages of the kernel: %w", err)
		}
		if r, ok := parse(string(b[:n])); ok {
			fn(r)
		}
	}
}

// parse decodes "LEVEL,SEQUENCE,MICROSECONDS,FLAGS;TEXT" and leaves out the
// lines of properties after it. Messages of programs (facility other than 0)
// are not the kernel's.
func parse(s string) (r Record, ok bool) {
	head, text, ok := strings.Cut(s, ";")
	if !ok {
		return r, false
	}
	fields := strings.SplitN(head, ",", 4)
	if len(fields) < 4 {
		return r, false
	}
	prio, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil || prio > 7 {
		return r, false
	}
	at, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || at < 0 || at > int64(1<<63-1)/int64(time.Microsecond) {
		return r, false
	}
	text, _, _ = strings.Cut(text, "\n")
	return Record{Level: int(prio), At: time.Duration(at) * time.Microsecond, Text: unescape(text)}, true
}

// unescape undoes the kernel's \xNN for octets that are not printable, except
// for those that a terminal would act on.
func unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if v, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil && (v == '\\' || v >= 0x80) {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return strings.ToValidUTF8(b.String(), "?")
}
