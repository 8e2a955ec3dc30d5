package store_test

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
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/appliance/mail/indexer"
	"pillarbox/appliance/mail/mimeindex"
	"pillarbox/appliance/store/store"
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
		s, err := store.Open(ctx, where, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		acct, err := s.CreateAccount(ctx, store.Quota{}, nil)
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		var stored, count int64
		var batch []store.Delivery
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
			p := mimeindex.NewParser()
			if _, err := io.MultiWriter(sp, p).Write(msg); err != nil {
				return err
			}
			index, err := p.Finish()
			if err != nil {
				return err
			}
			facts, err := index.Facts()
			if err != nil {
				return err
			}
			stored, count = stored+int64(len(msg)), count+1
			batch = append(batch, store.Delivery{Body: sp, Facts: facts, Placements: []store.Placement{{Account: acct}}})
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
		took := time.Since(start)
		if err := s.Reclaim(ctx); err != nil {
			b.Fatal(err)
		}
		plain := closedSize(b, s, where)
		if s, err = store.Open(ctx, where, store.Options{}); err != nil {
			b.Fatal(err)
		}
		indexStart := time.Now()
		if err := indexer.New(indexer.Config{Store: s}).Update(ctx, acct); err != nil {
			b.Fatal(err)
		}
		indexed := time.Since(indexStart)
		full := closedSize(b, s, where)
		b.ReportMetric(float64(count), "messages")
		b.ReportMetric(float64(stored)/1e6, "MB")
		b.ReportMetric(float64(count)/took.Seconds(), "imported/s")
		b.ReportMetric(float64(plain)/float64(stored), "disk/byte")
		b.ReportMetric(float64(full)/float64(stored), "disk-with-index/byte")
		b.ReportMetric(float64(count)/indexed.Seconds(), "indexed/s")
	}
}

// closedSize closes a store and tells what it takes then.
func closedSize(b *testing.B, s *store.Store, dir string) int64 {
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return allocated(b, dir)
}
