package image

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pillarbox/board"
	"pillarbox/image/gpt"
)

func TestFilesOnTheESPOfAnImage(t *testing.T) {
	c := Config{Board: &board.Board{Name: "test"}, Version: "1.0", Time: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), Log: slog.New(slog.DiscardHandler)}
	path := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	table := c.table()
	if err := f.Truncate(int64(table.Blocks) * blockSize); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(f); err != nil {
		t.Fatal(err)
	}
	if err := c.writeESP(part(f, table, 1), table.Partitions[1], []espFile{{"loader/loader.conf", []byte("timeout 0\n")}}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("hostname = 'mail'\n"), 1000)
	if err := WriteESPFile(path, "pillarbox.toml", want, c.Time); err != nil {
		t.Fatal(err)
	}
	got, err := ReadESPFile(path, "pillarbox.toml")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("read back %d octets, %v", len(got), err)
	}
	if got, err := ReadESPFile(path, "loader/loader.conf"); err != nil || string(got) != "timeout 0\n" {
		t.Errorf("loader.conf %q, %v", got, err)
	}
	if got, err := ReadESPFile(path, "absent"); err != nil || got != nil {
		t.Errorf("absent file: %q, %v", got, err)
	}
	if err := WriteESPFile(os.DevNull, "x", nil, c.Time); err == nil {
		t.Error("wrote to an image without a partition table")
	}
}

func TestPartitionsAreAlignedAndApart(t *testing.T) {
	c := Config{Board: &board.Board{Name: "test"}, Version: "1.0"}
	table := c.table()
	names := []string{"PBX-BIOS", LabelESP, LabelState, LabelData}
	var end uint64
	for i, p := range table.Partitions {
		if p.Name != names[i] || p.First%align != 0 || p.First <= end {
			t.Errorf("partition %d: %q from %d after %d", i+1, p.Name, p.First, end)
		}
		end = p.Last
	}
	if end+34 > table.Blocks {
		t.Errorf("no room for the second table: %d of %d", end, table.Blocks)
	}
	other, same := Config{Board: &board.Board{Name: "test"}, Version: "1.1"}, c
	if other.id("disk") == c.id("disk") || same.id("disk") != c.id("disk") {
		t.Error("identifiers must follow the version")
	}
	if _, err := gpt.Read(bytes.NewReader(nil), 0); err == nil || err == io.EOF {
		t.Errorf("a missing table: %v", err)
	}
}

func TestVersionMustSuitTheBootCounter(t *testing.T) {
	c := Config{Board: &board.Board{Name: "test"}, Version: "1.0+3", Log: slog.New(slog.DiscardHandler)}
	if _, err := c.Build(t.Context(), filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("a plus sign would be read as systemd-boot's counter")
	}
}
