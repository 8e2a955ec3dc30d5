package imapd

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/account"
)

// channelBinding is the data of a channel binding of this connection: of TLS
// 1.3 its exporter (RFC 9266), of TLS 1.2 tls-unique (RFC 5929 section 3), which
// only handshakes with the extended master secret give. nil where there is none.
func (c *conn) channelBinding(kind string) []byte {
	switch {
	case c.tls == nil:
	case kind == "tls-exporter" && c.tls.Version >= tls.VersionTLS13:
		b, err := c.tls.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			return nil
		}
		return b
	case kind == "tls-unique" && c.tls.Version == tls.VersionTLS12:
		return c.tls.TLSUnique
	}
	return nil
}

// canBind reports whether the connection has a channel binding.
func (c *conn) canBind() bool {
	return c.channelBinding("tls-exporter") != nil || c.channelBinding("tls-unique") != nil
}

// scramFirst is a client's first message (RFC 5802 section 7).
type scramFirst struct {
	gs2     string // header as it was sent
	binding string // name of the channel binding; "" where none is used
	capable bool   // the client could bind, but believes that the server cannot
	authzid string
	name    string
	nonce   string
	bare    string // the message without gs2
}

// parseScramFirst takes the client's first message apart.
func parseScramFirst(msg string) (f scramFirst, ok bool) {
	flag, rest, ok1 := strings.Cut(msg, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 {
		return f, false
	}
	switch {
	case flag == "n":
	case flag == "y":
		f.capable = true
	case strings.HasPrefix(flag, "p=") && len(flag) > 2:
		f.binding = flag[2:]
	default:
		return f, false
	}
	if authzid != "" {
		if f.authzid, ok = strings.CutPrefix(authzid, "a="); !ok {
			return f, false
		}
		if f.authzid, ok = scramName(f.authzid); !ok {
			return f, false
		}
	}
	f.gs2, f.bare = flag+","+authzid+",", bare
	// "m=" announces an extension that must be understood; there is none.
	part := strings.Split(bare, ",")
	if len(part) < 2 || !strings.HasPrefix(part[0], "n=") || !strings.HasPrefix(part[1], "r=") {
		return f, false
	}
	f.nonce = part[1][2:]
	if f.name, ok = scramName(part[0][2:]); !ok || f.name == "" || f.nonce == "" {
		return f, false
	}
	return f, true
}

// scramName undoes the quoting of a saslname.
func scramName(s string) (string, bool) {
	out := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
	return out, strings.Count(s, "=") == strings.Count(s, "=2C")+strings.Count(s, "=3D")
}

// scramNonce is the length of the server's part of the nonce, bytes before base64.
const scramNonce = 18

// saslScram is SCRAM-SHA-256 (RFC 5802, RFC 7677), with channel binding or
// without. The server proves that it knows the password before the client
// counts as logged in.
func (c *conn) saslScram(ctx context.Context, cl *call, first []byte, plus bool) error {
	f, ok := parseScramFirst(string(first))
	if !ok || plus != (f.binding != "") {
		return bad("Not a SCRAM message")
	}
	var bound []byte
	switch {
	case plus:
		if bound = c.channelBinding(f.binding); bound == nil {
			return no(imap.ResponseCodeCannot, "Channel binding is not supported")
		}
	case f.capable && c.canBind():
		// RFC 5802 section 6: somebody took the -PLUS out of the list.
		return c.failLogin(ctx, f.name)
	}
	if f.authzid != "" && !strings.EqualFold(f.authzid, f.name) {
		return no(imap.ResponseCodeAuthorizationFailed, "Nobody may act for another person")
	}
	offers, err := c.srv.cfg.Accounts.Scram(f.name, c.remote)
	if err != nil {
		return c.refuseLogin(ctx, f.name, err)
	}
	own := make([]byte, scramNonce)
	rand.Read(own) // never fails since Go 1.24
	nonce := f.nonce + base64.StdEncoding.EncodeToString(own)
	serverFirst := "r=" + nonce + ",s=" + base64.StdEncoding.EncodeToString(offers[0].Salt) + ",i=" + strconv.Itoa(offers[0].Iterations)
	last, err := c.challenge(serverFirst)
	if err != nil {
		return err
	}
	bare, proof, ok := cutProof(string(last))
	if !ok {
		return bad("Not a SCRAM message")
	}
	want := "c=" + base64.StdEncoding.EncodeToString(append([]byte(f.gs2), bound...)) + ",r=" + nonce
	message := f.bare + "," + serverFirst + "," + bare
	// An extension may follow the nonce; it is part of what is signed.
	fits := bare == want || strings.HasPrefix(bare, want+",")
	i := slices.IndexFunc(offers, func(o account.ScramOffer) bool { return scramProven(o.ScramKeys, message, proof) })
	if !fits || i < 0 || offers[i].User == nil {
		c.srv.cfg.Accounts.ScramResult(ctx, f.name, c.remote, nil)
		return c.failLogin(ctx, f.name)
	}
	proven := offers[i]
	c.srv.cfg.Accounts.ScramResult(ctx, f.name, c.remote, proven.User)
	final, err := c.challenge("v=" + base64.StdEncoding.EncodeToString(hmacSHA256(proven.ServerKey, message)))
	if err != nil {
		return err
	}
	if len(final) > 0 {
		return bad("Nothing follows the server's signature")
	}
	return c.enter(cl, proven.User)
}

// cutProof parts the client's final message from its proof.
func cutProof(msg string) (bare string, proof []byte, ok bool) {
	i := strings.LastIndex(msg, ",p=")
	if i < 0 {
		return "", nil, false
	}
	proof, err := base64.StdEncoding.DecodeString(msg[i+3:])
	return msg[:i], proof, err == nil && len(proof) == sha256.Size
}

// scramProven checks that the proof was made with the password behind the keys.
func scramProven(k *account.ScramKeys, message string, proof []byte) bool {
	client := hmacSHA256(k.StoredKey, message)
	for i := range client {
		client[i] ^= proof[i]
	}
	stored := sha256.Sum256(client)
	return subtle.ConstantTimeCompare(stored[:], k.StoredKey) == 1
}

func hmacSHA256(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
