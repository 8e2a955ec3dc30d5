package initapi

import (
	"net/http"
	"strconv"

	"pillarbox/appliance/api/wire"
)

// Handler serves s.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/status", wire.Handle(func(r *http.Request) (any, error) {
		return s.Status(r.Context())
	}))
	mux.Handle("GET /v1/services", wire.Handle(func(r *http.Request) (any, error) {
		return s.Services(r.Context())
	}))
	mux.Handle("GET /v1/events", wire.Handle(func(r *http.Request) (any, error) {
		return s.Events(r.Context())
	}))
	mux.Handle("GET /v1/log", wire.Handle(func(r *http.Request) (any, error) {
		lines := 0
		if v := r.FormValue("lines"); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return nil, wire.Invalid("lines", "must be a number of lines")
			}
			lines = n
		}
		return s.Log(r.Context(), r.FormValue("service"), lines)
	}))
	mux.HandleFunc("GET /v1/log/stream", func(w http.ResponseWriter, r *http.Request) { streamLog(s, w, r) })
	mux.Handle("POST /v1/services/{name}/restart", wire.Handle(func(r *http.Request) (any, error) {
		return nil, s.Restart(r.Context(), r.PathValue("name"))
	}))
	mux.Handle("POST /v1/mail-disk", wire.Handle(func(r *http.Request) (any, error) {
		var req UseDiskRequest
		if err := wire.Decode(r, &req); err != nil {
			return nil, err
		}
		return nil, s.UseDisk(r.Context(), req)
	}))
	mux.Handle("POST /v1/poweroff", wire.Handle(func(r *http.Request) (any, error) {
		var req StopRequest
		if err := wire.DecodeOptional(r, &req); err != nil {
			return nil, err
		}
		return nil, s.PowerOff(r.Context(), req)
	}))
	mux.Handle("POST /v1/reboot", wire.Handle(func(r *http.Request) (any, error) {
		var req StopRequest
		if err := wire.DecodeOptional(r, &req); err != nil {
			return nil, err
		}
		return nil, s.Reboot(r.Context(), req)
	}))
	return mux
}
