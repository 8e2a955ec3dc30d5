package health

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
)

func TestMetrics(t *testing.T) {
	var b strings.Builder
	err := WriteMetrics(&b, &healthapi.Status{Level: healthapi.Bad,
		States:   []healthapi.State{{ID: `a"b`, Level: healthapi.Bad}},
		Readings: []healthapi.Reading{{ID: "x", Kind: healthapi.Temperature, Value: 41.5}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pillarbox_health_level 2\n", `pillarbox_health_state{id="a\"b"} 2`, `pillarbox_health_reading{id="x",kind="temperature"} 41.5`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

// walledBox lets itself be managed from one network.
type walledBox struct {
	boxapi.Service
	from string
}

func (b walledBox) Firewall(context.Context) (*boxapi.Firewall, error) {
	return &boxapi.Firewall{Administration: []string{b.from}}, nil
}

func TestMetricsAreForTheNeighbourhood(t *testing.T) {
	m := monitor(t, Config{Box: walledBox{from: "192.0.2.0/24"}})
	for from, want := range map[string]int{
		"192.0.2.7:1": http.StatusOK, "127.0.0.1:1": http.StatusOK, "[::ffff:192.0.2.7]:1": http.StatusOK,
		"198.51.100.7:1": http.StatusForbidden, "[2001:db8::1]:1": http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		m.near(m.Metrics()).ServeHTTP(w, r)
		if w.Code != want || strings.Contains(w.Body.String(), "pillarbox_health_level 0") != (want == http.StatusOK) {
			t.Errorf("%s: %d %s", from, w.Code, w.Body)
		}
	}
}

// unusedAddress is one to listen at later. It is none of 127.0.0.1, where all the
// others of this machine get their ports from.
func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.100.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestMetricsOnRequest(t *testing.T) {
	address := unusedAddress(t)
	m := monitor(t, Config{MetricsAddress: address})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { m.serveMetrics(ctx); close(done) }()
	answers := func() bool {
		r, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		return r.StatusCode == http.StatusOK
	}
	for _, on := range []bool{false, true, false} {
		if _, err := m.SetSettings(ctx, healthapi.Settings{Metrics: on}); err != nil {
			t.Fatal(err)
		}
		for answers() != on {
			time.Sleep(10 * time.Millisecond)
		}
	}
	cancel()
	<-done
}

// Who holds connections open takes no more than a few of a process that has better to do.
func TestMetricsAreNotForCrowds(t *testing.T) {
	address := unusedAddress(t)
	m := monitor(t, Config{MetricsAddress: address})
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(done); _ = m.listenForMetrics(ctx) }()
	defer func() { cancel(); <-done }()
	ask := func(within time.Duration) error { // 0: in whatever time it takes
		r, err := (&http.Client{Timeout: within}).Get("http://" + address + "/metrics")
		if err == nil {
			r.Body.Close()
		}
		return err
	}
	for ask(0) != nil { // refused, until it listens
		time.Sleep(10 * time.Millisecond)
	}
	var crowd []net.Conn
	for range metricsOpen {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c)
	}
	if ask(200*time.Millisecond) == nil {
		t.Error("one more was answered")
	}
	for _, c := range crowd {
		c.Close()
	}
	if err := ask(0); err != nil {
		t.Errorf("when they are gone: %v", err)
	}
}
