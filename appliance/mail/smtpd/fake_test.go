package smtpd

import (
	"context"
	"errors"

	"pillarbox/appliance/store/store"
)

type storeAccount = store.AccountID

// fullAccount has no room left.
const fullAccount storeAccount = 2

// fakeStore answers what delivery asks before a message is stored.
type fakeStore struct{}

func (fakeStore) Accepting() error { return nil }

func (fakeStore) CheckQuota(_ context.Context, id store.AccountID, _ int64) error {
	if id == fullAccount {
		return store.ErrOverQuota
	}
	return nil
}

func (fakeStore) Spool(context.Context) (*store.SpooledBody, error) {
	return nil, errors.New("the fake store holds no mail")
}

func (fakeStore) Deliver(context.Context, store.Delivery) (store.Receipt, error) {
	return store.Receipt{}, errors.New("the fake store holds no mail")
}
