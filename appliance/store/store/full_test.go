package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// fullEnv names the disk for a process that must live with its being full:
// one that does not dies of SIGBUS, which no test could catch in its own.
const fullEnv = "PILLARBOX_TEST_FULL"

const fullMessages = 20

func fullOptions() Options {
	return Options{Small: true, MinFree: 16 << 20, Reserve: 48 << 20}
}

// fullChild is one life of the program on a disk that is or becomes full.
func fullChild(disk string) error {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(disk, "store"), fullOptions())
	if err != nil {
		return err
	}
	accounts := 0
	if err := s.Accounts(ctx, func(AccountID, Quota) error { accounts++; return nil }); err != nil {
		return err
	}
	if accounts == 0 {
		acct, err := s.CreateAccount(ctx, Quota{}, nil)
		if err != nil {
			return err
		}
		for i := range fullMessages {
			if _, err := tryDeliver(s, message(i, 100<<10), Placement{Account: acct}); err != nil {
				return err
			}
		}
		s.keeper.stop()       // the reserve is for the next life
		return fillDisk(disk) // and the end comes without Close
	}
	if err := s.Accepting(); !errors.Is(err, ErrNoSpace) {
		return fmt.Errorf("accepting on a full disk: %v", err)
	}
	in, err := s.MailboxByName(ctx, 1, inbox)
	if err != nil {
		return err
	}
	read := 0
	if _, err := s.Entries(ctx, in.ID, 1, 0, func(e Entry) error {
		b, err := s.OpenBody(ctx, e.Blob)
		if err != nil {
			return err
		}
		read++
		_, err = io.Copy(io.Discard, b)
		return err
	}); err != nil {
		return err
	}
	if read != fullMessages {
		return fmt.Errorf("%d messages read", read)
	}
	// People can still make room.
	if _, _, err := s.Expunge(ctx, in.ID, []UID{99}, false); err != nil {
		return err
	}
	if accounts == 1 && os.Getenv(fullEnv+"_CLOSE") == "" {
		return nil // once more without Close
	}
	return s.Close()
}

// fillDisk leaves not a byte.
func fillDisk(disk string) error {
	f, err := os.Create(filepath.Join(disk, "other"))
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for len(block) > 0 {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

// A full disk must neither end the program nor keep it from starting: the
// reserve is what it starts with, however often it is killed.
func TestStartsOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("mounting a small disk needs root: the other tests fill a pretended one")
		return
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=192m"); err != nil {
		t.Logf("no small disk can be mounted here: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	life := func(env ...string) {
		t.Helper()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(append(os.Environ(), fullEnv+"="+disk), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %.2000s", err, out)
		}
	}
	reserve := func() bool {
		_, err := os.Stat(filepath.Join(disk, "reserve"))
		return err == nil
	}
	life()
	if !reserve() {
		t.Fatal("no reserve was made")
	}
	for range 4 { // killed each time
		life()
	}
	if reserve() {
		t.Error("the reserve is still there")
	}
	for range 4 {
		life(fullEnv + "_CLOSE=1")
	}
	if err := os.Remove(filepath.Join(disk, "other")); err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), filepath.Join(disk, "store"), fullOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer closeChecked(t, s)
	if err := s.Accepting(); err != nil {
		t.Errorf("after there is room: %v", err)
	}
	if !reserve() {
		t.Error("the reserve was not made again")
	}
	if _, err := tryDeliver(s, message(99, 3000), Placement{Account: 1}); err != nil {
		t.Error(err)
	}
}
