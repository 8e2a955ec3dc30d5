package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"pillarbox/appliance/api/healthapi"
)

const (
	// metricsTimeout is for all of one question and its answer, and
	// metricsHeader for its header: this port is of a process with much power, and
	// who asks is a program on the same network.
	metricsTimeout = 10 * time.Second
	metricsHeader  = 8 << 10

	// metricsOpen is how many may ask at once; more wait until others are done.
	metricsOpen = 16
)

// Metrics answers with the status as Prometheus reads it.
func (m *Monitor) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.Status(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		if err := WriteMetrics(w, s); err != nil {
			m.cfg.Log.Debug("metrics were not taken", "error", err)
		}
	})
}

// serveMetrics serves them to the network while the settings say so, until ctx
// ends.
func (m *Monitor) serveMetrics(ctx context.Context) {
	for ctx.Err() == nil {
		on := m.present().Metrics
		session, cancel := context.WithCancel(ctx)
		served := make(chan struct{})
		go func() {
			defer close(served)
			for on && session.Err() == nil {
				if err := m.listenForMetrics(session); err != nil {
					m.cfg.Log.Warn("metrics are not served", "error", err)
					wait(session, retryEvery)
				}
			}
		}()
		m.awaitChange(ctx, m.metricsChanged, func(s healthapi.Settings) bool { return s.Metrics != on })
		cancel()
		<-served
	}
}

func (m *Monitor) listenForMetrics(ctx context.Context) error {
	l, err := net.Listen("tcp", m.cfg.MetricsAddress)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.near(m.Metrics()))
	srv := &http.Server{
		Handler: mux, ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout, MaxHeaderBytes: metricsHeader,
		ErrorLog: slog.NewLogLogger(m.cfg.Log.Handler(), slog.LevelDebug),
	}
	srv.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(netutil.LimitListener(l, metricsOpen)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// near answers who may manage the box and nobody else. The firewall lets nobody
// else come here; without it this still holds.
func (m *Monitor) near(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil {
			err = m.mayAsk(r.Context(), from.Addr().Unmap().WithZone(""))
		}
		if err != nil {
			m.cfg.Log.Debug("metrics are refused", "from", r.RemoteAddr, "error", err)
			http.Error(w, "not from here", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func (m *Monitor) mayAsk(ctx context.Context, from netip.Addr) error {
	if from.IsLoopback() {
		return nil
	}
	f, err := m.cfg.Box.Firewall(ctx)
	if err != nil {
		return err
	}
	for _, text := range f.Administration {
		if p, err := netip.ParsePrefix(text); err == nil && p.Contains(from) {
			return nil
		}
	}
	return errors.New("the box is not managed from there")
}

// WriteMetrics writes a status as Prometheus reads it (text exposition format
// 0.0.4).
func WriteMetrics(w io.Writer, s *healthapi.Status) error {
	var b strings.Builder
	b.WriteString("# HELP pillarbox_health_level How the box is: 0 well, 1 to be looked at, 2 look now.\n# TYPE pillarbox_health_level gauge\n")
	fmt.Fprintf(&b, "pillarbox_health_level %d\n", int(s.Level))
	b.WriteString("# HELP pillarbox_health_state What is not well: 1 to be looked at, 2 look now.\n# TYPE pillarbox_health_state gauge\n")
	for _, st := range s.States {
		fmt.Fprintf(&b, "pillarbox_health_state{id=%s} %d\n", quote(st.ID), int(st.Level))
	}
	b.WriteString("# HELP pillarbox_health_reading A measured value in the unit of its kind.\n# TYPE pillarbox_health_reading gauge\n")
	for _, r := range s.Readings {
		fmt.Fprintf(&b, "pillarbox_health_reading{id=%s,kind=%s} %s\n", quote(r.ID), quote(r.Kind), strconv.FormatFloat(r.Value, 'g', -1, 64))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quote writes a label's value.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
