// Package atomicfile replaces small files so that a crash or power cut at any
// moment leaves the old content or the new, never a mixture or an empty file.
//
// The new content goes to a temporary file in the same folder, is synced,
// takes the name by rename, and the folder is synced. When Write returns nil
// the new content survives a power cut; when it returns an error the old
// content is still there, or the new one where only the last sync failed.
//
// A temporary file that a crash leaves is named .NAME.new and is overwritten
// by the next Write of that name.
package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Steps of a Write, in order, as Hook sees them.
const (
	StepCreate  = "create"
	StepWrite   = "write"
	StepSync    = "sync"
	StepRename  = "rename"
	StepSyncDir = "sync folder"
)

// Option changes how Write works.
type Option func(*options)

type options struct {
	uid, gid int
	hook     func(step string) error
}

// Owner gives the file to uid and gid before it takes its name.
func Owner(uid, gid int) Option {
	return func(o *options) { o.uid, o.gid = uid, gid }
}

// Hook calls fn before each step; an error it returns is the step's. Tests
// use it to fail where disks fail.
func Hook(fn func(step string) error) Option {
	return func(o *options) { o.hook = fn }
}

// Write replaces the file at path by one that holds data.
func Write(path string, data []byte, mode fs.FileMode, opts ...Option) error {
	o := options{uid: -1, gid: -1, hook: func(string) error { return nil }}
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.write(path, data, mode); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}

func (o *options) write(path string, data []byte, mode fs.FileMode) error {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	tmp := filepath.Join(dir, "."+name+".new")
	if err := o.writeTemporary(tmp, data, mode); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := o.step(StepRename, func() error { return os.Rename(tmp, path) }); err != nil {
		os.Remove(tmp)
		return err
	}
	return o.step(StepSyncDir, func() error { return syncDir(dir) })
}

func (o *options) writeTemporary(tmp string, data []byte, mode fs.FileMode) error {
	// A file left by a crash may have another mode or owner: start afresh.
	os.Remove(tmp)
	var f *os.File
	err := o.step(StepCreate, func() (err error) {
		f, err = os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		return err
	})
	if err != nil {
		return err
	}
	defer f.Close()
	// The mode given to open is narrowed by the umask.
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if o.uid >= 0 || o.gid >= 0 {
		if err := f.Chown(o.uid, o.gid); err != nil {
			return err
		}
	}
	err = o.step(StepWrite, func() error {
		_, err := f.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	if err := o.step(StepSync, f.Sync); err != nil {
		return err
	}
	return f.Close()
}

func (o *options) step(name string, fn func() error) error {
	if err := o.hook(name); err != nil {
		return err
	}
	return fn()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
