package account

import (
	"encoding/json"
	"fmt"
	"time"

	"pillarbox/appliance/store/store"
)

// recordVersion is the first byte of a document's value.
const recordVersion = 1

// Keys in store.TableSetting.
const (
	keySettings = "mail"
	keyAdmin    = "admin"
)

type domainRecord struct {
	Created time.Time
}

type userRecord struct {
	Address    string // in normal form
	Name       string `json:",omitempty"`
	Account    store.AccountID
	Credential credential
	Apps       []appPassword `json:",omitempty"` // replaced, not changed
	Admin      bool          `json:",omitempty"`
	Disabled   bool          `json:",omitempty"`
	Created    time.Time
}

type aliasRecord struct {
	Address string
	Target  string
	Created time.Time
}

type groupRecord struct {
	Address string
	Members []string
	Created time.Time
}

type adminRecord struct {
	Credential credential
}

// put is the op that writes a record. Fields that a later program adds are
// ignored by this one, and what this one writes is read by a later one.
func put(t store.Table, key string, record any) (store.DocOp, error) {
	b, err := json.Marshal(record)
	if err != nil {
		return store.DocOp{}, fmt.Errorf("account: record %q: %w", key, err)
	}
	return store.DocOp{Table: t, Key: key, Value: append([]byte{recordVersion}, b...)}, nil
}

func remove(t store.Table, key string) store.DocOp { return store.DocOp{Table: t, Key: key} }

func decode(d store.Doc, record any) error {
	if len(d.Value) == 0 || d.Value[0] != recordVersion {
		return fmt.Errorf("account: record %q: %w", d.Key, store.ErrNewerStore)
	}
	if err := json.Unmarshal(d.Value[1:], record); err != nil {
		return fmt.Errorf("account: record %q: %w", d.Key, err)
	}
	return nil
}
