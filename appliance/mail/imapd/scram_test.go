package imapd

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"

	"pillarbox/appliance/mail/conntest"
)

// scram is the client's side of SCRAM-SHA-256 (RFC 5802 section 3).
func (c *client) scram(mech, gs2 string, bound []byte, name, password string) string {
	c.t.Helper()
	b64 := base64.StdEncoding
	bare := "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name) + ",r=fyko+d2lbbFgONRv9qkxdawL"
	c.send("s AUTHENTICATE " + mech + " " + b64.EncodeToString([]byte(gs2+bare)) + "\r\n")
	l := c.line()
	first, err := b64.DecodeString(strings.TrimPrefix(l, "+ "))
	if err != nil || !strings.HasPrefix(l, "+ ") {
		return l
	}
	val := map[byte]string{}
	for p := range strings.SplitSeq(string(first), ",") {
		val[p[0]] = p[2:]
	}
	salt, _ := b64.DecodeString(val['s'])
	n, _ := strconv.Atoi(val['i'])
	salted, err := pbkdf2.Key(sha256.New, password, salt, n, sha256.Size)
	if err != nil {
		c.t.Fatal(err)
	}
	final := "c=" + b64.EncodeToString(append([]byte(gs2), bound...)) + ",r=" + val['r']
	message := bare + "," + string(first) + "," + final
	key := hmacSHA256(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := hmacSHA256(stored[:], message)
	for i := range proof {
		proof[i] ^= key[i]
	}
	c.send(b64.EncodeToString([]byte(final+",p="+b64.EncodeToString(proof))) + "\r\n")
	l = c.line()
	if !strings.HasPrefix(l, "+ ") {
		return l
	}
	want := "v=" + b64.EncodeToString(hmacSHA256(hmacSHA256(salted, "Server Key"), message))
	if got, _ := b64.DecodeString(l[2:]); string(got) != want {
		c.t.Errorf("the server's signature is %s, want %s", got, want)
	}
	c.send("\r\n")
	return c.line()
}

func TestScram(t *testing.T) {
	b := newBench(t, func(c *Config) { c.TLS = conntest.ServerTLS(t) })
	secure := func() (*client, tls.ConnectionState) {
		c := b.dial()
		c.line()
		c.ok("STARTTLS")
		tc := tls.Client(c.nc, conntest.ClientTLS())
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		return newClient(t, tc), tc.ConnectionState()
	}
	const ann = "ann@example.org"
	for _, plain := range []bool{true, false} {
		try := func(name, mech, gs2, who, password, want string, bind func(tls.ConnectionState) []byte) {
			t.Helper()
			var c *client
			var st tls.ConnectionState
			if plain {
				c = b.dial()
				c.line()
			} else {
				c, st = secure()
			}
			var bound []byte
			if bind != nil {
				bound = bind(st)
			}
			if got := c.scram(mech, gs2, bound, who, password); !strings.HasPrefix(got, "s "+want) {
				t.Errorf("%s, in the clear %v: %s, want %s", name, plain, got, want)
			}
		}
		try("right", "SCRAM-SHA-256", "n,,", ann, "secret", "OK", nil)
		try("wrong", "SCRAM-SHA-256", "n,,", ann, "secreT", "NO [AUTHENTICATIONFAILED]", nil)
		try("nobody", "SCRAM-SHA-256", "n,,", "x@example.org", "secret", "NO [AUTHENTICATIONFAILED]", nil)
		try("for another", "SCRAM-SHA-256", "n,a=bob@example.org,", ann, "secret", "NO [AUTHORIZATIONFAILED]", nil)
		if plain {
			try("cannot bind", "SCRAM-SHA-256", "y,,", ann, "secret", "OK", nil)
			continue
		}
		// The server can bind: a client that believes otherwise was deceived.
		try("deceived", "SCRAM-SHA-256", "y,,", ann, "secret", "NO [AUTHENTICATIONFAILED]", nil)
		exporter := func(st tls.ConnectionState) []byte {
			b, err := st.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		try("bound", "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", ann, "secret", "OK", exporter)
		try("bound to another", "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", ann, "secret", "NO [AUTHENTICATIONFAILED]",
			func(tls.ConnectionState) []byte { return make([]byte, 32) })
		try("unknown binding", "SCRAM-SHA-256-PLUS", "p=tls-foo,,", ann, "secret", "NO [CANNOT]", nil)
		try("not bound", "SCRAM-SHA-256-PLUS", "n,,", ann, "secret", "BAD", nil)
	}
}
