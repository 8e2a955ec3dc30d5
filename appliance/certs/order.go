package certs

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/acme"
)

// LetsEncrypt is the directory of the authority that is asked where no other is set.
const LetsEncrypt = acme.LetsEncryptURL

const (
	// orderTime bounds one order. Authorities look at the challenge from several
	// places, and some let it wait in a queue.
	orderTime = 5 * time.Minute
	// requestTime bounds one request to the authority.
	requestTime = 30 * time.Second
	// firstWait and longestWait are between tries, each twice the one before. An
	// authority may take five failures an hour; who mends the DNS should not wait
	// for days.
	firstWait   = 5 * time.Minute
	longestWait = 12 * time.Hour
	// mostWait bounds what an authority that was asked too often may demand.
	mostWait = day
	// clockWait is between looks at a clock that is plainly wrong.
	clockWait = time.Minute
	// challengeTime bounds a request to port 80: authorities ask for one small
	// answer, whoever else comes gets no more of the box's time than they.
	challengeTime = 10 * time.Second
	// challengeHeader bounds its header, in octets.
	challengeHeader = 8 << 10
	// requestTries is how often a request is made that the authority fails to
	// answer or whose nonce it does not know any more (RFC 8555 section 6.5).
	requestTries = 5
	// longestDetail bounds what an authority says, in characters.
	longestDetail = 240
)

// ordered is what was ordered last, as it is on disk.
type ordered struct {
	Issued          string    `json:",omitempty"` // directory that public.pem is from
	Directory, Host string    // of the last order
	Failures        int       `json:",omitempty"` // in a row
	Since           time.Time `json:",omitzero"`  // the first of them
	Next            time.Time `json:",omitzero"`  // not before then
	Failure         string    `json:",omitempty"` // a sentence
}

func parseOrdered(data []byte) (*ordered, error) {
	o := new(ordered)
	return o, json.Unmarshal(data, o)
}

// current reports whether the last order was of what c asks for.
func (o *ordered) current(c Choice) bool { return o.Directory == c.Directory && o.Host == c.Host }

// third of a certificate's life, whatever that is: some authorities give ninety
// days, some six, and one in the house maybe one.
func third(c *x509.Certificate) time.Duration { return c.NotAfter.Sub(c.NotBefore) / 3 }

// renewAt is when a third of a certificate's life is left.
func renewAt(c *x509.Certificate) time.Time { return c.NotAfter.Add(-third(c)) }

// nextOrder says in how long the public authority is to be asked, and whether it
// is to be at all.
func (m *Manager) nextOrder() (wait time.Duration, ordering bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, sure := m.now()
	c, o := m.choice, &m.ordered
	if c.Source != Public || c.Host == "" || m.cfg.Listen == nil {
		return 0, false
	}
	if !sure {
		return clockWait, true
	}
	if m.public != nil && o.Issued == c.Directory && m.public.Leaf.VerifyHostname(c.Host) == nil {
		wait = renewAt(m.public.Leaf).Sub(now)
	}
	// A time that is too far ahead was set by a clock that was wrong.
	if again := o.Next.Sub(now); o.current(c) && again <= mostWait {
		wait = max(wait, again)
	}
	return wait, true
}

// order has the public authority sign a certificate, and remembers how it went.
func (m *Manager) order(ctx context.Context) {
	m.mu.Lock()
	c := m.choice
	account, err := m.account()
	var key crypto.Signer
	if m.public != nil {
		key, _ = m.public.PrivateKey.(crypto.Signer) // of a kind that Import takes: always one
	}
	m.mu.Unlock()
	var got *tls.Certificate
	if err == nil {
		within, cancel := context.WithTimeout(ctx, orderTime)
		got, err = m.obtain(within, c, account, key)
		cancel()
	}
	if ctx.Err() != nil {
		return // the box stops: that is no failure
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.ordered
	now, _ := m.now()
	m.ordered = ordered{Issued: before.Issued, Directory: c.Directory, Host: c.Host}
	if err != nil {
		m.failed(now, before, err)
	} else {
		// Authorities sign the same a few times a week and not more: one that cannot
		// be kept now, on a volume that is full, is shown all the same.
		m.ordered.Issued, m.public, m.unkept = c.Directory, got, true
		// A clock that is ahead renews too early; then not again at once.
		m.ordered.Next = now.Add(min(third(got.Leaf), longestWait))
		m.cfg.Event(false, fmt.Sprintf("%s signed a certificate for %s, good until %s", got.Leaf.Issuer.CommonName, c.Host, got.Leaf.NotAfter.UTC().Format(time.DateOnly)))
	}
	if err := m.keep(); err != nil {
		m.cfg.Log.Error("cannot keep how the order went", "error", err)
	}
}

// keep writes how the last order went, and the certificate of the public authority
// where that is not on disk yet. mu is held.
func (m *Manager) keep() error {
	if m.unkept {
		data, err := encodeChain(m.public)
		if err == nil {
			err = m.writeFile(publicFile, data)
		}
		if err != nil {
			return err
		}
		m.unkept = false
	}
	data, err := json.Marshal(m.ordered)
	if err != nil {
		return err
	}
	return m.writeFile(orderedFile, data)
}

// failed remembers a failure, and tells of one that is new. mu is held.
func (m *Manager) failed(now time.Time, before ordered, err error) {
	o := &m.ordered
	text, wait := explain(err)
	o.Failure, o.Failures, o.Since = text, 1, now
	if before.Failures > 0 && before.current(m.choice) {
		o.Failures, o.Since = before.Failures+1, before.Since
	}
	wait = max(wait, min(firstWait<<min(o.Failures-1, 10), longestWait))
	o.Next = now.Add(wait)
	m.cfg.Log.Warn("no certificate of the public authority", "error", err, "failures", o.Failures, "again", o.Next)
	if text != before.Failure {
		m.cfg.Event(true, text)
	}
}

// account is the key of the box's account. mu is held.
func (m *Manager) account() (crypto.Signer, error) {
	key, err := read(m, accountFile, func(data []byte) (*crypto.Signer, error) {
		k, err := parseKey(data)
		return &k, err
	})
	if err != nil {
		return nil, err
	}
	if key != nil {
		return *key, nil
	}
	made, _, err := newKey()
	if err != nil {
		return nil, err
	}
	data, err := encodeChain(&tls.Certificate{PrivateKey: made})
	if err != nil {
		return nil, err
	}
	return made, m.writeFile(accountFile, data)
}

// obtain goes the way of RFC 8555 section 7 from the directory to a certificate
// for the key, a new one where it is nil.
func (m *Manager) obtain(ctx context.Context, c Choice, account, key crypto.Signer) (*tls.Certificate, error) {
	if key == nil {
		made, _, err := newKey()
		if err != nil {
			return nil, err
		}
		key = made
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: m.cfg.Roots, MinVersion: tls.VersionTLS12}
	defer transport.CloseIdleConnections()
	client := &acme.Client{
		Key: account, DirectoryURL: c.Directory, HTTPClient: &http.Client{Transport: transport, Timeout: requestTime},
		UserAgent: "pillarbox", RetryBackoff: again,
	}
	if err := register(ctx, client, c.Email); err != nil {
		return nil, err
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(c.Host)) // section 7.4
	if err != nil {
		return nil, err
	}
	for _, url := range order.AuthzURLs {
		if err := m.prove(ctx, client, url); err != nil {
			return nil, err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{c.Host}}, key)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, csr, true)
	if err != nil {
		return nil, err
	}
	out := &tls.Certificate{PrivateKey: key}
	var others []*x509.Certificate
	for i, der := range chain {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, badCertificate("is damaged: %v", err)
		}
		if i == 0 {
			out.Leaf = one
		} else {
			others = append(others, one)
		}
	}
	// What an authority adds that vouches for nothing here is not kept: it would
	// be taken for damage when the box starts again.
	out.Certificate, _ = inLine(out.Leaf, others)
	now, sure := m.now()
	if now.Before(out.Leaf.NotBefore) {
		now = out.Leaf.NotBefore // this clock is behind, which is no fault of the certificate
	}
	return out, checkServer(out.Leaf, c.Host, now, sure)
}

// again spaces out the tries of one request; one that came too often is not
// repeated before the whole order is.
func again(n int, _ *http.Request, answer *http.Response) time.Duration {
	if n >= requestTries || answer != nil && answer.StatusCode == http.StatusTooManyRequests {
		return -1
	}
	return time.Duration(n) * time.Second
}

// register makes the account, or finds the one that the key has (RFC 8555 section
// 7.3.1), and gives it the address. The terms of the authority are agreed to by
// whoever chooses it: the console and the manual say so.
func register(ctx context.Context, client *acme.Client, email string) error {
	account := new(acme.Account)
	if email != "" {
		account.Contact = []string{"mailto:" + email}
	}
	_, err := client.Register(ctx, account, acme.AcceptTOS)
	if errors.Is(err, acme.ErrAccountAlreadyExists) {
		err = nil
		if email != "" {
			_, err = client.UpdateReg(ctx, account) // section 7.3.2
		}
	}
	return err
}

// errNoHTTP is an authority that does not offer the one challenge that is known.
var errNoHTTP = errors.New("it offers no challenge by HTTP")

// prove shows the authority at url that the box answers to the name (RFC 8555
// section 7.5.1), and waits until it has looked.
func (m *Manager) prove(ctx context.Context, client *acme.Client, url string) error {
	authz, err := client.GetAuthorization(ctx, url)
	if err != nil || authz.Status == acme.StatusValid {
		return err
	}
	for _, challenge := range authz.Challenges {
		if challenge.Type != "http-01" { // section 8.3
			continue
		}
		text, err := client.HTTP01ChallengeResponse(challenge.Token)
		if err != nil {
			return err
		}
		l, err := m.cfg.Listen()
		if err != nil {
			return &portError{err}
		}
		defer answer(l, client.HTTP01ChallengePath(challenge.Token), text, m.cfg.Log)()
		if _, err := client.Accept(ctx, challenge); err != nil {
			return err
		}
		_, err = client.WaitAuthorization(ctx, authz.URI)
		return err
	}
	return errNoHTTP
}

// portError is the port for challenges that could not be opened.
type portError struct{ err error }

func (e *portError) Error() string { return e.err.Error() }
func (e *portError) Unwrap() error { return e.err }

// answer serves text at path, and nothing else, until the function it gives is called.
func answer(l net.Listener, path, text string, log *slog.Logger) (stop func()) {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path || r.Method != http.MethodGet && r.Method != http.MethodHead {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = io.WriteString(w, text) // an authority that went away asks again
		}),
		ReadTimeout: challengeTime, WriteTimeout: challengeTime, IdleTimeout: challengeTime, MaxHeaderBytes: challengeHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends by Close; without it the authority says that it got no answer
	}()
	return func() {
		_ = server.Close() // nothing of worth is under way
		<-done
	}
}

// sentences are what the types of problems (RFC 8555 section 6.7) mean for the
// person who set the box up.
func sentences(kind string) string {
	switch kind {
	case "connection", "tls":
		return "The certificate authority does not reach port 80 of this box"
	case "dns":
		return "The certificate authority does not find the name of this box in the DNS"
	case "unauthorized", "incorrectResponse":
		return "Another machine than this box answers the certificate authority"
	case "caa":
		return "The DNS (CAA) does not let this certificate authority sign for the name of this box"
	case "rateLimited":
		return "The certificate authority was asked too often"
	case "rejectedIdentifier", "unsupportedIdentifier":
		return "The certificate authority does not sign for the name of this box"
	case "externalAccountRequired":
		return "The certificate authority wants an account made by hand, which this box does not offer"
	case "invalidContact", "unsupportedContact":
		return "The certificate authority does not take the address for its letters"
	}
	return "The certificate authority refused"
}

// explain makes a sentence of why an order failed, and says how long the authority
// wants to be left alone.
func explain(err error) (text string, wait time.Duration) {
	problem := problemOf(err)
	var port *portError
	var file *FileError
	what, detail := "The certificate authority cannot be reached", ""
	switch {
	case problem != nil:
		kind := problem.ProblemType[strings.LastIndexByte(problem.ProblemType, ':')+1:]
		what, detail = sentences(kind), cmp.Or(problem.Detail, problem.ProblemType, http.StatusText(problem.StatusCode))
		after, _ := acme.RateLimit(problem)
		wait = min(after, mostWait)
	case errors.As(err, &port):
		what, detail = "Port 80 of this box, which the certificate authority asks at, cannot be opened", err.Error()
	case errors.As(err, &file), errors.Is(err, errNoHTTP):
		what, detail = "The certificate authority gave what is of no use", err.Error()
	default:
		detail = err.Error()
	}
	return what + " (" + tidy(detail) + ").", wait
}

// problemOf is what the authority itself said, nil where it said nothing.
func problemOf(err error) *acme.Error {
	var problem *acme.Error
	var authz *acme.AuthorizationError
	var order *acme.OrderError
	switch {
	case errors.As(err, &authz):
		for _, e := range authz.Errors {
			if errors.As(e, &problem) {
				return problem
			}
		}
	case errors.As(err, &order):
		return cmp.Or(order.Problem, &acme.Error{Detail: "the order is " + order.Status})
	case errors.As(err, &problem):
		return problem
	}
	return nil
}

// tidy makes one line of what a stranger said, of a length that a screen bears.
func tidy(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if r := []rune(s); len(r) > longestDetail {
		s = string(r[:longestDetail]) + "..."
	}
	return strings.TrimRight(s, ". ")
}
