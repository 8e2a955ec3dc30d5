package mailapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"pillarbox/appliance/api/wire"
)

// Handler serves s.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(r *http.Request) (any, error)) {
		mux.Handle(pattern, wire.Handle(fn))
	}
	handle("GET /v1/status", func(r *http.Request) (any, error) { return s.Status(r.Context()) })
	handle("POST /v1/setup", take(func(r *http.Request, in Setup) (any, error) { return nil, s.Setup(r.Context(), in) }))

	handle("GET /v1/domains", func(r *http.Request) (any, error) { return s.Domains(r.Context()) })
	handle("POST /v1/domains", take(func(r *http.Request, in Domain) (any, error) { return s.AddDomain(r.Context(), in) }))
	handle("PATCH /v1/domains/{name}", take(func(r *http.Request, in DomainChange) (any, error) {
		return s.ChangeDomain(r.Context(), r.PathValue("name"), in)
	}))
	handle("DELETE /v1/domains/{name}", func(r *http.Request) (any, error) {
		return nil, s.RemoveDomain(r.Context(), r.PathValue("name"))
	})

	handle("GET /v1/users", func(r *http.Request) (any, error) { return s.Users(r.Context()) })
	handle("POST /v1/users", take(func(r *http.Request, in NewUser) (any, error) { return s.AddUser(r.Context(), in) }))
	handle("GET /v1/users/{address}", func(r *http.Request) (any, error) { return s.User(r.Context(), r.PathValue("address")) })
	handle("PATCH /v1/users/{address}", take(func(r *http.Request, in UserChange) (any, error) {
		return s.ChangeUser(r.Context(), r.PathValue("address"), in)
	}))
	handle("DELETE /v1/users/{address}", func(r *http.Request) (any, error) {
		return nil, s.RemoveUser(r.Context(), r.PathValue("address"))
	})
	handle("POST /v1/users/{address}/password", take(func(r *http.Request, in Password) (any, error) {
		return nil, s.SetPassword(r.Context(), r.PathValue("address"), in)
	}))

	handle("GET /v1/users/{address}/app-passwords", func(r *http.Request) (any, error) {
		return s.AppPasswords(r.Context(), r.PathValue("address"))
	})
	handle("POST /v1/users/{address}/app-passwords", take(func(r *http.Request, in NewAppPassword) (any, error) {
		return s.AddAppPassword(r.Context(), r.PathValue("address"), in)
	}))
	handle("DELETE /v1/users/{address}/app-passwords/{name}", func(r *http.Request) (any, error) {
		return nil, s.RemoveAppPassword(r.Context(), r.PathValue("address"), r.PathValue("name"))
	})

	handle("GET /v1/aliases", func(r *http.Request) (any, error) { return s.Aliases(r.Context()) })
	handle("POST /v1/aliases", take(func(r *http.Request, in Alias) (any, error) { return s.AddAlias(r.Context(), in) }))
	handle("PATCH /v1/aliases/{address}", take(func(r *http.Request, in AliasChange) (any, error) {
		return s.ChangeAlias(r.Context(), r.PathValue("address"), in)
	}))
	handle("DELETE /v1/aliases/{address}", func(r *http.Request) (any, error) {
		return nil, s.RemoveAlias(r.Context(), r.PathValue("address"))
	})

	handle("GET /v1/groups", func(r *http.Request) (any, error) { return s.Groups(r.Context()) })
	handle("POST /v1/groups", take(func(r *http.Request, in Group) (any, error) { return s.AddGroup(r.Context(), in) }))
	handle("PATCH /v1/groups/{address}", take(func(r *http.Request, in GroupChange) (any, error) {
		return s.ChangeGroup(r.Context(), r.PathValue("address"), in)
	}))
	handle("DELETE /v1/groups/{address}", func(r *http.Request) (any, error) {
		return nil, s.RemoveGroup(r.Context(), r.PathValue("address"))
	})

	handle("GET /v1/queue", func(r *http.Request) (any, error) { return s.Queue(r.Context()) })
	handle("POST /v1/queue/{id}/retry", func(r *http.Request) (any, error) {
		id, err := queueID(r)
		if err != nil {
			return nil, err
		}
		return nil, s.RetryQueued(r.Context(), id)
	})
	handle("DELETE /v1/queue/{id}", func(r *http.Request) (any, error) {
		id, err := queueID(r)
		if err != nil {
			return nil, err
		}
		return nil, s.DeleteQueued(r.Context(), id)
	})

	handle("GET /v1/settings", func(r *http.Request) (any, error) { return s.Settings(r.Context()) })
	handle("PATCH /v1/settings", take(func(r *http.Request, in SettingsChange) (any, error) {
		return s.ChangeSettings(r.Context(), in)
	}))
	handle("POST /v1/admin/verify", take(func(r *http.Request, in AdminLogin) (any, error) {
		return nil, s.VerifyAdmin(r.Context(), in)
	}))
	handle("POST /v1/admin/password", take(func(r *http.Request, in AdminPassword) (any, error) {
		return nil, s.SetAdminPassword(r.Context(), in)
	}))
	handle("GET /v1/certificate", func(r *http.Request) (any, error) { return s.Certificate(r.Context()) })
	handle("POST /v1/certificate", take(func(r *http.Request, in CertificateChoice) (any, error) {
		return s.SetCertificate(r.Context(), in)
	}))
	handle("GET /v1/events", func(r *http.Request) (any, error) {
		limit := 0
		if v := r.FormValue("limit"); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return nil, wire.Invalid("limit", "must be a number of events")
			}
			limit = n
		}
		return s.Events(r.Context(), limit)
	})
	handle("GET /v1/trace", func(r *http.Request) (any, error) { return s.Trace(r.Context(), r.FormValue("about")) })
	handle("POST /v1/probe", func(r *http.Request) (any, error) { return s.Probe(r.Context()) })
	mux.HandleFunc("POST /v1/check", func(w http.ResponseWriter, r *http.Request) { check(s, w, r) })
	return mux
}

// take decodes the request's body before it calls fn.
func take[T any](fn func(r *http.Request, in T) (any, error)) func(r *http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var in T
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return fn(r, in)
	}
}

func queueID(r *http.Request) (uint64, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, wire.Invalid("id", "must be the number of a queue entry")
	}
	return id, nil
}

// check answers line by line, so that whoever waits sees how far it is. The
// status is 200 before anything is known: an error is the last line.
func check(s Service, w http.ResponseWriter, r *http.Request) {
	var in CheckRequest
	if err := wire.DecodeOptional(r, &in); err != nil {
		wire.Handle(func(*http.Request) (any, error) { return nil, err }).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	enc, flush := json.NewEncoder(w), http.NewResponseController(w)
	line := func(l CheckLine) {
		// A client that went away ends the check by the request's context.
		_ = enc.Encode(l)
		_ = flush.Flush()
	}
	report, err := s.Check(r.Context(), in, func(p Progress) { line(CheckLine{Progress: &p}) })
	if err != nil {
		e := &wire.Error{Code: wire.CodeInternal, Message: err.Error()}
		errors.As(err, &e)
		line(CheckLine{Error: e})
		return
	}
	line(CheckLine{Report: report})
}
