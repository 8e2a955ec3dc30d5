package healthapi

import (
	"net/http"

	"pillarbox/appliance/api/wire"
)

// Handler serves s, and metrics as its text.
func Handler(s Service, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/status", wire.Handle(func(r *http.Request) (any, error) {
		return s.Status(r.Context())
	}))
	mux.Handle("GET /v1/history", wire.Handle(func(r *http.Request) (any, error) {
		span := r.FormValue("span")
		switch span {
		case "":
			span = SpanHour
		case SpanHour, SpanDay, SpanMonth, SpanYear:
		default:
			return nil, wire.Invalid("span", "must be hour, day, month or year")
		}
		return s.History(r.Context(), r.FormValue("id"), span)
	}))
	mux.Handle("GET /v1/settings", wire.Handle(func(r *http.Request) (any, error) { return s.Settings(r.Context()) }))
	mux.Handle("PUT /v1/settings", wire.Handle(func(r *http.Request) (any, error) {
		var in Settings
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return s.SetSettings(r.Context(), in)
	}))
	mux.Handle("POST /v1/known", wire.Handle(func(r *http.Request) (any, error) {
		var in Known
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return nil, s.SetKnown(r.Context(), in)
	}))
	mux.Handle("POST /v1/test", wire.Handle(func(r *http.Request) (any, error) { return s.Test(r.Context()) }))
	mux.Handle("GET /v1/metrics", metrics)
	return mux
}
