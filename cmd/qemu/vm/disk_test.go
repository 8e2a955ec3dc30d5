package vm

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pillarbox/image/fat"
	"pillarbox/image/gpt"
)

const mib = 1 << 20

// newImage makes an image with an ESP and nothing else, mostly holes.
func newImage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size, first, last = 280 * mib, mib / 512, 275*mib/512 - 1
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	table := &gpt.Table{ID: gpt.GUID{1}, BlockSize: 512, Blocks: size / 512, Partitions: []gpt.Partition{
		{Type: gpt.TypeESP, ID: gpt.GUID{2}, First: first, Last: last, Name: "ESP"},
	}}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	if _, err := fat.Format(span{f, first * 512}, fat.Options{Size: (last - first + 1) * 512, Label: "ESP", Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewDisk(t *testing.T) {
	image, disk := newImage(t), filepath.Join(t.TempDir(), "disk")
	st, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	before := digest(t, image, st.Size())
	const size = 1 << 30
	if err := NewDisk(disk, image, size, []byte("[box]\n")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != size {
		t.Errorf("size %d, %v", st.Size(), err)
	}
	if got, err := ReadESP(readOnly{f}, size, ProvisionFile); err != nil || string(got) != "[box]\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ListESP(readOnly{f}, size, "/"); err != nil || !slices.Equal(got, []string{ProvisionFile}) {
		t.Errorf("got %q, %v", got, err)
	}
	if digest(t, image, st.Size()) != before {
		t.Error("the image itself was changed")
	}
	if err := NewDisk(disk, image, size, nil); err != nil {
		t.Fatal(err)
	}
	if digest(t, disk, st.Size()) != before {
		t.Error("the copy differs")
	}
}

// digest is that of the first n bytes of a file, which may be more than fits into memory.
func digest(t *testing.T, path string, n int64) (sum [sha256.Size]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(h, f, n); err != nil {
		t.Fatal(err)
	}
	h.Sum(sum[:0])
	return sum
}

type readOnly struct{ *os.File }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, os.ErrPermission }
