package maild

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/config"
	"pillarbox/appliance/config/atomicfile"
	"pillarbox/appliance/store/store"
)

// The key of an encrypted store is a file of its own on the state volume, one
// line of hexadecimal digits. The data disk alone, lost or sent in for repair,
// then gives nothing away; who takes the whole box has both. A store is
// encrypted from its first day or not at all: the key is made for a new store
// on request of the provisioning file, or is put there by hand before that.

// storeKeySize is that of AES-256, bytes.
const storeKeySize = 32

// storeKey is the key of the store, nil where it is not encrypted.
func (d *Daemon) storeKey() ([]byte, error) {
	path := d.cfg.keyFile()
	line, err := os.ReadFile(path)
	if err == nil {
		key, err := hex.DecodeString(strings.TrimSpace(string(line)))
		if err != nil || len(key) != storeKeySize {
			return nil, fmt.Errorf("%s is not the key of a mail store: it has to be one line of %d hexadecimal digits", path, 2*storeKeySize)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key of the mail store: %w", err)
	}
	if _, err := os.Stat(d.cfg.storeDir()); !errors.Is(err, fs.ErrNotExist) {
		return nil, err // a store that is there has its key, or needs none
	}
	if d.cfg.Provision == "" {
		return nil, nil
	}
	p, err := config.LoadProvision(d.cfg.Provision)
	if err != nil || p.Mail == nil || !p.Mail.EncryptStore {
		return nil, nil // what is wrong with the file is said where it is applied
	}
	key := make([]byte, storeKeySize)
	rand.Read(key)
	if err := atomicfile.Write(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("key of the mail store: %w", err)
	}
	d.events.add(mailapi.LevelInfo, "the mail store is encrypted; its key is "+path)
	return key, nil
}

// explainKey says what to do where a store does not open with its key.
func explainKey(err error, path string, key []byte) error {
	switch {
	case !errors.Is(err, store.ErrBadKey):
		return err
	case key == nil:
		return fmt.Errorf("it is encrypted, and its key %s is not there; put it back, or begin anew and restore a backup: %w", path, err)
	default:
		return fmt.Errorf("%s is not its key; put the right one back, or remove it if the store is not encrypted: %w", path, err)
	}
}
