package probe

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"pillarbox/appliance/store/store"
	"pillarbox/appliance/store/store/storetest"
)

// refusing serves SMTP on one connection and answers DATA with reply.
func refusing(reply string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			fmt.Fprint(server, "220 x\r\n")
			for in := bufio.NewScanner(server); in.Scan(); {
				answer := "250 ok"
				if strings.HasPrefix(in.Text(), "DATA") {
					answer = reply
				}
				fmt.Fprint(server, answer+"\r\n")
			}
		}()
		return client, nil
	}
}

func TestFailures(t *testing.T) {
	s := storetest.New(t)
	for _, tt := range []struct {
		name    string
		dial    func(context.Context) (net.Conn, error)
		step    string
		refused bool
	}{
		{"nobody listens", func(context.Context) (net.Conn, error) { return nil, errors.New("connection refused") }, "hand in the message", false},
		{"refused", refusing("452 4.3.1 no room"), "hand in the message", true},
		{"accepted and lost", func(ctx context.Context) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				fmt.Fprint(server, "220 x\r\n")
				data := false
				for in := bufio.NewScanner(server); in.Scan(); {
					switch {
					case in.Text() == "DATA":
						data = true
						fmt.Fprint(server, "354 go\r\n")
					case data && in.Text() != ".":
					default:
						data = false
						fmt.Fprint(server, "250 ok\r\n")
					}
				}
			}()
			return client, nil
		}, "read the message", false},
	} {
		r := New(s, tt.dial).Run(t.Context())
		if r.Step != tt.step || r.Failure == "" || r.Refused != tt.refused {
			t.Errorf("%s: %+v", tt.name, r)
		}
		if _, err := s.Doc(t.Context(), store.TableSetting, docKey); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: something is left: %v", tt.name, err)
		}
	}
}

// What a crash left behind goes with the next test.
func TestLeftovers(t *testing.T) {
	s := storetest.New(t)
	count := func() (n int) {
		if err := s.Accounts(t.Context(), func(store.AccountID, store.Quota) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	p := New(s, refusing("451 no"))
	id, err := s.CreateAccount(t.Context(), store.Quota{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{
		"an account":                   binary.BigEndian.AppendUint64(nil, uint64(id)),
		"an account that is gone":      binary.BigEndian.AppendUint64(nil, 1<<40),
		"a record that makes no sense": {1, 2},
	} {
		if err := s.UpdateDocs(t.Context(), store.DocOp{Table: store.TableSetting, Key: docKey, Value: value}); err != nil {
			t.Fatal(err)
		}
		if r := p.Run(t.Context()); !r.Refused {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if n := count(); n != 0 {
		t.Errorf("%d accounts are left", n)
	}
	if _, ok := p.Mailbox("@" + domain); ok {
		t.Error("the empty address leads somewhere")
	}
}
