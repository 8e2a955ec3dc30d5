package store

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/store/search"
)

// corporaEnv names a folder with archives (*.tar.xz) of real messages, one a file.
const corporaEnv = "PILLARBOX_CORPORA"

// eachCorpusMessage reads the messages of all archives, with CRLF line ends.
func eachCorpusMessage(dir string, fn func(msg []byte) error) error {
	archives, err := filepath.Glob(filepath.Join(dir, "*.tar.xz"))
	if err != nil {
		return err
	}
	for _, name := range archives {
		if err := eachArchived(name, fn); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func eachArchived(name string, fn func(msg []byte) error) error {
	xz := exec.Command("xz", "-dc", name)
	out, err := xz.StdoutPipe()
	if err != nil {
		return err
	}
	if err := xz.Start(); err != nil {
		return err
	}
	r := tar.NewReader(out)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return xz.Wait()
		}
		if err != nil {
			return errors.Join(err, xz.Wait())
		}
		if h.Typeflag != tar.TypeReg || strings.Contains(filepath.Base(h.Name), "cmds") {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return errors.Join(err, xz.Wait())
		}
		if bytes.HasPrefix(b, []byte("From ")) {
			_, b, _ = bytes.Cut(b, []byte("\n"))
		}
		if err := fn(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))); err != nil {
			return errors.Join(err, xz.Wait())
		}
	}
}

// allocated is what a folder takes on its disk, bytes.
func allocated(b *testing.B, dir string) (n int64) {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return err
		}
		n += st.Blocks * 512
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkCorpus stores real mail and tells the disk it takes, for each byte
// of mail: all of the store, its lists, facts and change log counted in, and
// with a full-text index besides.
func BenchmarkCorpus(b *testing.B) {
	dir := os.Getenv(corporaEnv)
	if dir == "" {
		b.Skipf("%s is not set", corporaEnv)
	}
	ctx := context.Background()
	for range b.N {
		where := b.TempDir()
		s, err := Open(ctx, where, Options{})
		if err != nil {
			b.Fatal(err)
		}
		acct := newAccount(b, s)
		start, cpu := time.Now(), cpuTime(b)
		var stored, count int64
		var batch []Delivery
		flush := func() error {
			_, err := s.DeliverAll(ctx, batch)
			batch = batch[:0]
			return err
		}
		err = eachCorpusMessage(dir, func(msg []byte) error {
			sp, err := s.Spool(ctx)
			if err != nil {
				return err
			}
			if _, err := sp.Write(msg); err != nil {
				return err
			}
			stored, count = stored+int64(len(msg)), count+1
			batch = append(batch, Delivery{Body: sp, Facts: roughFacts(msg), Placements: []Placement{{Account: acct}}})
			if len(batch) < 64 {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		if err != nil {
			b.Fatal(err)
		}
		took, used := time.Since(start), cpuTime(b)-cpu
		if err := s.Reclaim(ctx); err != nil {
			b.Fatal(err)
		}
		plain := reopenedSize(b, s, where)
		if s, err = Open(ctx, where, Options{}); err != nil {
			b.Fatal(err)
		}
		indexStart := time.Now()
		indexAll(b, s, acct)
		indexed := time.Since(indexStart)
		full := reopenedSize(b, s, where)
		b.ReportMetric(float64(count), "messages")
		b.ReportMetric(float64(stored)/1e6, "MB")
		b.ReportMetric(float64(count)/took.Seconds(), "imported/s")
		b.ReportMetric(float64(used.Microseconds())/float64(count), "cpu-µs/msg")
		b.ReportMetric(float64(plain)/float64(stored), "disk/byte")
		b.ReportMetric(float64(full)/float64(stored), "disk-with-index/byte")
		b.ReportMetric(float64(count)/indexed.Seconds(), "indexed/s")
	}
}

// reopenedSize closes a store and tells what it takes then.
func reopenedSize(b *testing.B, s *Store, dir string) int64 {
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return allocated(b, dir)
}

// roughFacts are facts of the size they have in service.
func roughFacts(msg []byte) Facts {
	head, body, _ := bytes.Cut(msg, []byte("\r\n\r\n"))
	f := Facts{Size: int64(len(msg)), Header: msg[:min(len(head)+4, len(msg), 64<<10)], Sent: time.Unix(1e9, 0)}
	f.MessageID = strings.Trim(headerField(head, "Message-Id"), "<>")
	f.Subject = headerField(head, "Subject")
	for _, field := range []string{"From", "To", "Cc", "Subject", "Date", "Reply-To", "In-Reply-To"} {
		f.Index = append(f.Index, headerField(head, field)...)
	}
	f.Index = append(f.Index, "text plain us-ascii 7bit offsets and sizes of the parts"...)
	f.Preview = strings.Join(strings.Fields(string(body[:min(len(body), 300)])), " ")
	return f
}

func headerField(head []byte, name string) string {
	for line := range bytes.Lines(head) {
		if n, v, ok := strings.Cut(string(line), ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// indexAll makes the full-text index of an account, of its texts as they are
// but for encoded parts.
func indexAll(b *testing.B, s *Store, acct AccountID) {
	ctx := context.Background()
	x, err := search.Open(s.IndexRows(acct))
	if err != nil {
		b.Fatal(err)
	}
	batch := search.NewBatch()
	upTo, err := s.EmailsAfter(ctx, acct, 0, func(e EmailID, id BlobID) error {
		body, err := s.OpenBody(ctx, id)
		if err != nil {
			return err
		}
		msg, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		head, text, _ := bytes.Cut(msg, []byte("\r\n\r\n"))
		batch.Begin(uint64(e))
		batch.Add(search.Header, string(head))
		var plain strings.Builder
		for line := range bytes.Lines(text) {
			if len(line) < 60 || bytes.ContainsAny(line, " ") {
				plain.Write(line)
			}
		}
		batch.Add(search.Body, plain.String())
		if !batch.Full() {
			return nil
		}
		err = x.Apply(ctx, batch, uint64(e))
		batch = search.NewBatch()
		return err
	})
	if err == nil {
		err = x.Apply(ctx, batch, uint64(upTo))
	}
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
}
