package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/wire"
)

// logInit has a log of one line before each follower comes and one after.
type logInit struct {
	initapi.Service
	asked chan initapi.LogQuery
	more  chan initapi.LogItem
}

func (i *logInit) StreamLog(ctx context.Context, q initapi.LogQuery, fn func(initapi.LogItem) error) error {
	i.asked <- q
	if q.Since.IsZero() {
		if err := fn(initapi.LogItem{LogLine: initapi.LogLine{Time: time.Now(), Service: "init", Text: "from before"}}); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-i.more:
			if err := fn(m); err != nil {
				return err
			}
		}
	}
}

func monitor(t *testing.T, cfg Config) *Monitor {
	t.Helper()
	cfg.Root, cfg.State, cfg.Data, cfg.Log = t.TempDir(), t.TempDir(), t.TempDir(), slog.New(slog.DiscardHandler)
	if err := os.Mkdir(filepath.Join(cfg.Root, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSettingsAndTheLogServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lines := make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				for in := bufio.NewReader(c); ; {
					var n int
					if _, err := fmt.Fscanf(in, "%d ", &n); err != nil {
						return
					}
					b := make([]byte, n)
					if _, err := io.ReadFull(in, b); err != nil {
						return
					}
					lines <- string(b)
				}
			}()
		}
	}()
	init := &logInit{asked: make(chan initapi.LogQuery, 10), more: make(chan initapi.LogItem)}
	m := monitor(t, Config{Init: init})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool)
	go func() { m.forward(ctx); close(done) }()

	var we *wire.Error
	if _, err := m.SetSettings(ctx, healthapi.Settings{Syslog: "logs"}); !errors.As(err, &we) || we.Field != "syslog" {
		t.Errorf("%v", err)
	}
	want := healthapi.Settings{Syslog: "tcp://" + l.Addr().String(), Light: true}
	if _, err := m.SetSettings(ctx, want); err != nil {
		t.Fatal(err)
	}
	if s, err := m.Settings(ctx); err != nil || *s != want {
		t.Errorf("%+v, %v", s, err)
	}
	if q := <-init.asked; !q.Follow || !q.Since.IsZero() {
		t.Errorf("%+v", q)
	}
	if f := m.readSyslog(time.Now()); len(f) != 1 || f[0].level != healthapi.OK {
		t.Errorf("%+v", f)
	}
	init.more <- initapi.LogItem{LogLine: initapi.LogLine{Time: time.Now(), Service: "maild", Text: "level=WARN something"}}
	for _, want := range [][2]string{{"<30>1 ", " pillarbox init - - - from before"}, {"<20>1 ", " pillarbox maild - - - level=WARN something"}} {
		if s := <-lines; !strings.HasPrefix(s, want[0]) || !strings.HasSuffix(s, want[1]) {
			t.Errorf("%q, want %q", s, want)
		}
	}
	// A restart of healthd does not send all of it again.
	if _, err := m.SetSettings(ctx, healthapi.Settings{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SetSettings(ctx, want); err != nil {
		t.Fatal(err)
	}
	again := monitor(t, Config{Init: init})
	again.cfg.Root, again.settings = m.cfg.Root, want
	ended := make(chan bool)
	go func() { again.forward(ctx); close(ended) }()
	if q := <-init.asked; q.Since.IsZero() {
		t.Errorf("%+v", q)
	}
	cancel()
	<-done
	<-ended
	kept, err := loadSettings(m.settingsFile())
	if err != nil || kept != want {
		t.Errorf("%+v, %v", kept, err)
	}
}

func TestWeekly(t *testing.T) {
	addr, messages := sink(t)
	m := monitor(t, Config{SMTP: addr})
	m.settings.Weekly = true
	monday := time.Date(2026, 3, 2, weeklyHour, 0, 0, 0, time.Local)
	m.put("x", []healthapi.Reading{{ID: "hwmon/x/temp1", Kind: healthapi.Temperature, Name: "processor", Value: 41}}, nil)
	m.weekly(t.Context(), monday.Add(-time.Second))
	m.weekly(t.Context(), monday.AddDate(0, 0, 1))
	if len(messages) != 0 {
		t.Error("a mail on another day, or at night")
	}
	m.weekly(t.Context(), monday.AddDate(0, 0, 7))
	if got := <-messages; !strings.Contains(got, "all is well") || !strings.Contains(got, "Processor") || !strings.Contains(got, "41 =C2=B0C") {
		t.Error(got)
	}
	m.weekly(t.Context(), monday.AddDate(0, 0, 7).Add(time.Hour))
	m.settings.Weekly = false
	m.weekly(t.Context(), monday.AddDate(0, 0, 14))
	if len(messages) != 0 {
		t.Error("a second mail, or one that nobody wants")
	}
	subject, body := weeklyText("box", &healthapi.Status{States: []healthapi.State{{Level: healthapi.Bad, What: "A disk fails."}}})
	if known, body := weeklyText("box", &healthapi.Status{States: []healthapi.State{{Level: healthapi.Bad, What: "A disk fails.", Known: true}}}); known != "box: all is well" || !strings.Contains(body, "KNOWN") {
		t.Errorf("%s\n%s", known, body)
	}
	if subject != "box: 1 thing to look at" || !strings.Contains(body, "A disk fails.") {
		t.Errorf("%s\n%s", subject, body)
	}
}

// Who knows the address of a webhook can write there: it is in no log.
func TestWebhookIsNotTold(t *testing.T) {
	// Nobody is at port 1.
	err := webhook(t.Context(), "http://127.0.0.1:1/hook/s3cret", "mail.example.org", []Change{{State: healthapi.State{ID: "fan"}}})
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
