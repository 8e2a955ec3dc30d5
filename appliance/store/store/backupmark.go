package store

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// metaBackup begins the name of the meta row of each backup that was made.
// These rows are in no backup: in a store that was restored, or put back to
// an older state of its disk, the versions they tell of are others.
const metaBackup = "backup/"

// maxBackupMarks is how many backups an increment can be made to; the oldest
// are forgotten.
const maxBackupMarks = 200

// BackupMark remembers a backup that was made, for increments to it.
type BackupMark struct {
	ID      string
	Version uint64 // of its snapshot
	At      time.Time
}

func isBackupMark(k []byte) bool {
	return k[0] == tableMeta && strings.HasPrefix(string(k[1:]), metaBackup)
}

// MarkBackup remembers a backup, once it is safe where it was written to.
func (s *Store) MarkBackup(ctx context.Context, m BackupMark) error {
	_, err := s.submit(ctx, markBackupOp{m})
	return err
}

type markBackupOp struct{ Mark BackupMark }

func (o markBackupOp) apply(st *stage) (any, error) {
	marks := []BackupMark{o.Mark}
	err := st.scan(keyMeta(metaBackup), func(k, val []byte) error {
		m, err := decodeBackupMark(k, val)
		marks = append(marks, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	sortBackupMarks(marks)
	for _, m := range marks[min(maxBackupMarks, len(marks)):] {
		st.del(keyMeta(metaBackup + m.ID))
	}
	val := binary.AppendUvarint([]byte{recordVersion}, o.Mark.Version)
	st.put(keyMeta(metaBackup+o.Mark.ID), appendMilli(val, o.Mark.At))
	return nil, nil
}

// BackupMarks lists the backups that increments can be made to, newest first.
func (s *Store) BackupMarks(ctx context.Context) ([]BackupMark, error) {
	v := s.view()
	defer v.close()
	var out []BackupMark
	err := v.scan(scanOptions{prefix: keyMeta(metaBackup)}, func(k, val []byte) error {
		m, err := decodeBackupMark(k, val)
		out = append(out, m)
		return err
	})
	sortBackupMarks(out)
	return out, err
}

func sortBackupMarks(m []BackupMark) {
	slices.SortFunc(m, func(a, b BackupMark) int {
		if a.Version != b.Version {
			if a.Version > b.Version {
				return -1
			}
			return 1
		}
		return b.At.Compare(a.At)
	})
}

func decodeBackupMark(k, val []byte) (BackupMark, error) {
	r := readRecord(val)
	m := BackupMark{ID: string(k[1+len(metaBackup):]), Version: r.uint(), At: r.milli()}
	return m, damaged("backup", m.ID, r.end())
}
