package transfers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/transferapi"
	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// one is a directory of one person.
type one store.AccountID

func (o one) Account(string) (store.AccountID, error) { return store.AccountID(o), nil }

// What came back before the limit was reached is told with the reason.
func TestUndeleteUpToTheLimit(t *testing.T) {
	ctx := context.Background()
	st := storetest.New(t)
	id, err := st.CreateAccount(ctx, store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const n, limit = 600, 550
	var box store.MailboxID
	var uids []store.UID
	var ds []store.Delivery
	for i := range n {
		body, err := st.Spool(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(body, "Subject: %d\r\n\r\n", i); err != nil {
			t.Fatal(err)
		}
		ds = append(ds, store.Delivery{Body: body, Placements: []store.Placement{{Account: id}}})
	}
	done, err := st.DeliverAll(ctx, ds)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range done {
		box, uids = r.Placed[0].Mailbox, append(uids, r.Placed[0].UID)
	}
	if _, _, err := st.Expunge(ctx, box, uids, false); err != nil {
		t.Fatal(err)
	}
	if err := st.SetQuota(ctx, id, store.Quota{LimitMessages: limit}); err != nil {
		t.Fatal(err)
	}
	s := New(Config{Store: st, People: one(id)})
	all := transferapi.Undelete{Since: time.Now().Add(-time.Hour)}
	r, err := s.Undelete(ctx, "ann@example.org", all)
	if err != nil || r.Messages == 0 || r.Messages > limit || !strings.Contains(r.Stopped, "limit") {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := s.Undelete(ctx, "ann@example.org", all); err == nil {
		t.Errorf("nothing more fits: %+v", r)
	}
	all.IgnoreQuota = true
	if r, err := s.Undelete(ctx, "ann@example.org", all); err != nil || r.Stopped != "" {
		t.Errorf("over the limit: %+v, %v", r, err)
	}
	if b, err := st.Mailbox(ctx, box); err != nil || b.Messages != n {
		t.Errorf("%d messages, %v", b.Messages, err)
	}
}
