package initapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"pillarbox/appliance/api/wire"
)

// streamed is one line of the stream: an item, or the error that ended it.
type streamed struct {
	*LogItem
	Error *wire.Error `json:"error,omitempty"`
}

// values is q as a URL has it.
func (q LogQuery) values() url.Values {
	v := url.Values{}
	if q.Service != "" {
		v.Set("service", q.Service)
	}
	if q.Contains != "" {
		v.Set("contains", q.Contains)
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339Nano))
	}
	if q.Lines > 0 {
		v.Set("lines", strconv.Itoa(q.Lines))
	}
	if q.Stored {
		v.Set("stored", "1")
	}
	if q.Follow {
		v.Set("follow", "1")
	}
	return v
}

func parseLogQuery(v url.Values) (q LogQuery, err error) {
	q = LogQuery{Service: v.Get("service"), Contains: v.Get("contains"), Stored: v.Get("stored") != "", Follow: v.Get("follow") != ""}
	if n := v.Get("lines"); n != "" {
		if q.Lines, err = strconv.Atoi(n); err != nil || q.Lines < 0 {
			return q, wire.Invalid("lines", "must be a number of lines")
		}
	}
	if t := v.Get("since"); t != "" {
		if q.Since, err = time.Parse(time.RFC3339Nano, t); err != nil {
			return q, wire.Invalid("since", "must be a time such as 2026-03-01T12:00:00Z")
		}
	}
	if q.Stored && q.Service == "" {
		return q, wire.Invalid("service", "must be named where the stored log is wanted")
	}
	if q.Stored && q.Follow {
		return q, wire.Invalid("follow", "the stored log cannot be followed")
	}
	return q, nil
}

func streamLog(s Service, w http.ResponseWriter, r *http.Request) {
	q, err := parseLogQuery(r.URL.Query())
	if err != nil {
		wire.Handle(func(*http.Request) (any, error) { return nil, err }).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc, flush := json.NewEncoder(w), http.NewResponseController(w)
	if err := flush.Flush(); err != nil {
		return // the client has gone
	}
	err = s.StreamLog(r.Context(), q, func(i LogItem) error {
		if err := enc.Encode(streamed{LogItem: &i}); err != nil {
			return err
		}
		return flush.Flush()
	})
	if err != nil && r.Context().Err() == nil {
		e := &wire.Error{Code: wire.CodeInternal, Message: err.Error()}
		errors.As(err, &e)
		_ = enc.Encode(streamed{Error: e}) // a client that has gone reads no error
	}
}

// StreamLog implements Service.
func (c *Client) StreamLog(ctx context.Context, q LogQuery, fn func(LogItem) error) error {
	body, err := c.wire.Stream(ctx, http.MethodGet, "/v1/log/stream?"+q.values().Encode(), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var item LogItem
		l := streamed{LogItem: &item}
		err := dec.Decode(&l)
		switch {
		case errors.Is(err, io.EOF) && !q.Follow, err != nil && q.Follow && ctx.Err() != nil:
			return nil
		case err != nil:
			return wire.Unavailable("init ended the log: %v", err)
		case l.Error != nil:
			return l.Error
		}
		if err := fn(item); err != nil {
			return err
		}
	}
}
