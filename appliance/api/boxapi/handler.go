package boxapi

import (
	"io"
	"net/http"

	"pillarbox/appliance/api/wire"
)

// Handler serves s.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/status", wire.Handle(func(r *http.Request) (any, error) {
		return s.Status(r.Context())
	}))
	mux.Handle("GET /v1/settings", wire.Handle(func(r *http.Request) (any, error) {
		return s.Settings(r.Context())
	}))
	mux.Handle("PUT /v1/settings", wire.Handle(func(r *http.Request) (any, error) {
		var in Settings
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return s.SetSettings(r.Context(), in)
	}))
	mux.Handle("POST /v1/network/try", wire.Handle(func(r *http.Request) (any, error) {
		var in Network
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return nil, s.TryNetwork(r.Context(), in)
	}))
	mux.Handle("POST /v1/network/keep", wire.Handle(func(r *http.Request) (any, error) {
		return nil, s.KeepNetwork(r.Context())
	}))
	mux.Handle("POST /v1/network/test", wire.Handle(func(r *http.Request) (any, error) {
		var in TestRequest
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return s.TestNetwork(r.Context(), in)
	}))
	mux.Handle("POST /v1/mail-disk", wire.Handle(func(r *http.Request) (any, error) {
		var in UseDiskRequest
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return nil, s.UseDisk(r.Context(), in)
	}))
	mux.Handle("GET /v1/firewall", wire.Handle(func(r *http.Request) (any, error) {
		return s.Firewall(r.Context())
	}))
	mux.Handle("GET /v1/timezones", wire.Handle(func(r *http.Request) (any, error) {
		return s.Timezones(r.Context())
	}))
	mux.Handle("POST /v1/support", wire.Octets(func(r *http.Request, w io.Writer) error {
		var in SupportRequest
		if err := wire.DecodeOptional(r, &in); err != nil {
			return err
		}
		return s.SupportBundle(r.Context(), in, w)
	}))
	mux.Handle("POST /v1/support/stick", wire.Handle(func(r *http.Request) (any, error) {
		var in SupportRequest
		if err := wire.DecodeOptional(r, &in); err != nil {
			return nil, err
		}
		return s.SupportToStick(r.Context(), in)
	}))
	mux.Handle("POST /v1/stick/backup", wire.Handle(func(r *http.Request) (any, error) {
		return s.BackupToStick(r.Context())
	}))
	mux.Handle("GET /v1/stick/backups", wire.Handle(func(r *http.Request) (any, error) {
		return s.StickBackups(r.Context())
	}))
	mux.Handle("POST /v1/stick/certificate", wire.Handle(func(r *http.Request) (any, error) {
		return nil, s.CertificateFromStick(r.Context())
	}))
	mux.Handle("POST /v1/stick/restore", wire.Handle(func(r *http.Request) (any, error) {
		var in RestoreRequest
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return nil, s.RestoreFromStick(r.Context(), in)
	}))
	mux.Handle("POST /v1/factory-reset", wire.Handle(func(r *http.Request) (any, error) {
		var in ResetRequest
		if err := wire.Decode(r, &in); err != nil {
			return nil, err
		}
		return nil, s.FactoryReset(r.Context(), in)
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
