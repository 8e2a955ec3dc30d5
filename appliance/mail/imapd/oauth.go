package imapd

import (
	"context"
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"

	"pillarbox/appliance/mail/account"
)

// saslBearer is OAUTHBEARER (RFC 7628).
func (c *conn) saslBearer(ctx context.Context, cl *call, msg []byte) error {
	head, rest, ok := strings.Cut(string(msg), "\x01")
	if !ok || !strings.HasPrefix(head, "n,") || !strings.HasSuffix(head, ",") {
		return bad("Not an OAUTHBEARER message")
	}
	login := ""
	if a := strings.TrimSuffix(head[2:], ","); a != "" {
		if a, ok = strings.CutPrefix(a, "a="); !ok {
			return bad("Not an OAUTHBEARER message")
		}
		if login, ok = scramName(a); !ok {
			return bad("Not an OAUTHBEARER message")
		}
	}
	return c.token(ctx, cl, login, rest)
}

// saslXOAuth2 is XOAUTH2, as it was before RFC 7628 and still is in clients.
func (c *conn) saslXOAuth2(ctx context.Context, cl *call, msg []byte) error {
	head, rest, ok := strings.Cut(string(msg), "\x01")
	login, isUser := strings.CutPrefix(head, "user=")
	if !ok || !isUser {
		return bad("Not an XOAUTH2 message")
	}
	return c.token(ctx, cl, login, rest)
}

// token takes the token from a list of key=value pairs that end in ^A each.
func (c *conn) token(ctx context.Context, cl *call, login, pairs string) error {
	token := ""
	for p := range strings.SplitSeq(pairs, "\x01") {
		if v, ok := strings.CutPrefix(p, "auth="); ok {
			scheme, t, _ := strings.Cut(v, " ")
			if strings.EqualFold(scheme, "Bearer") {
				token = strings.TrimSpace(t)
			}
		}
	}
	if token == "" {
		return bad("No token")
	}
	u, err := c.srv.cfg.Tokens.VerifyToken(ctx, login, token, c.remote)
	switch {
	case errors.Is(err, account.ErrBadCredentials):
		// RFC 7628 section 3.2.2: the reason, to which the client says
		// something of no meaning; then the failure.
		if _, err := c.challenge(`{"status":"invalid_token"}`); err != nil {
			var broken *connError
			if errors.As(err, &broken) {
				return err
			}
		}
		return c.failLogin(ctx, login)
	case err != nil:
		return c.refuseLogin(ctx, login, err)
	case login != "" && !strings.EqualFold(login, u.Address):
		return no(imap.ResponseCodeAuthorizationFailed, "The token is another person's")
	}
	return c.enter(cl, u)
}
