package store

import "fmt"

// tables verifies the checksums of Badger's own tables. Rows in a damaged
// block are not an error to who reads them, they are just not there: without
// this check, a row that nothing else counts could be lost unseen. Nothing can
// mend a table; a backup has its rows.
func (c *checker) tables() error {
	c.s.tables.Lock()
	defer c.s.tables.Unlock()
	c.s.dbMu.RLock()
	defer c.s.dbMu.RUnlock()
	if c.s.db == nil {
		return ErrClosed
	}
	if err := c.s.verifyTables(); err != nil {
		c.problem(nil, "tables of the database", "%v; rows may be missing", err)
	}
	return nil
}

// verifyTables answers the first table that is damaged.
func (s *Store) verifyTables() (err error) {
	// Badger reports a block that does not match its checksum, and runs into a
	// panic where damage keeps it from finding the checksum.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a block of a table cannot be read (%v)", p)
		}
	}()
	return s.db.VerifyChecksum()
}
