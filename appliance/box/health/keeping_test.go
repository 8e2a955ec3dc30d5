package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
)

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	h, err := OpenHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 3 * 24 * 60 { // three days, a value a minute
		if err := h.Add("a/b c", begin.Add(time.Duration(i)*time.Minute), float64(i%60)); err != nil {
			t.Fatal(err)
		}
	}
	now := begin.Add(3*24*time.Hour - time.Minute)
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		span string
		n    int
	}{{healthapi.SpanHour, 61}, {healthapi.SpanDay, 24*60 + 1}, {healthapi.SpanMonth, 3 * 24}, {healthapi.SpanYear, 3}} {
		points, err := again.Points("a/b c", tt.span, now)
		if err != nil || len(points) != tt.n {
			t.Errorf("%s: %d points, %v, want %d", tt.span, len(points), err, tt.n)
			continue
		}
		if p := points[0]; tt.span == healthapi.SpanMonth && (p.Min != 0 || p.Max != 59 || p.Mean < 29 || p.Mean > 30) {
			t.Errorf("an hour: %+v", p)
		}
	}
	// What is older than a ring is not shown as new.
	if points, err := again.Points("a/b c", healthapi.SpanDay, now.Add(100*24*time.Hour)); err != nil || len(points) != 0 {
		t.Errorf("later: %d points, %v", len(points), err)
	}
	if _, err := again.Points("nothing", healthapi.SpanDay, now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a reading that is not there: %v", err)
	}
	st, err := os.Stat(again.path("a/b c"))
	if err != nil || st.Size() > 120_000 {
		t.Errorf("a file of %d octets, %v", st.Size(), err)
	}
	if err := os.WriteFile(again.path("damaged"), []byte("PBXRING1 and no more"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again.Add("damaged", now, 1); err != nil {
		t.Errorf("a damaged file: %v", err)
	}
}

// Sensors that came and went do not fill the state volume.
func TestHistoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for round := range 3 {
		h, err := OpenHistory(dir)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for i := range maxSeries + 5 {
			if h.Add(fmt.Sprintf("drive/%d-%d", round, i), now, 1) != nil {
				refused++
			}
		}
		if err := h.Flush(); err != nil || refused != 5 {
			t.Errorf("%d refused, %v", refused, err)
		}
		for i := range maxSeries {
			at := now.Add(time.Duration(round) * time.Hour)
			if err := os.Chtimes(h.path(fmt.Sprintf("drive/%d-%d", round, i)), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	h, err := OpenHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != maxSeries {
		t.Errorf("%d files, %v", len(files), err)
	}
	if _, err := h.Points("drive/2-0", healthapi.SpanYear, now); err != nil {
		t.Errorf("the latest is gone: %v", err)
	}
}

// What cannot be removed, as on a volume that became read-only, is no reason not to watch.
func TestHistoryThatCannotBeCut(t *testing.T) {
	dir := t.TempDir()
	for i := range maxSeries + 1 {
		if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint(i), "full"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenHistory(dir); err != nil {
		t.Error(err)
	}
}

func TestDaysToFull(t *testing.T) {
	line := func(n int, from, perHour float64) (p []healthapi.Point) {
		begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		for i := range n {
			p = append(p, healthapi.Point{Time: begin.Add(time.Duration(i) * time.Hour), Mean: from + perHour*float64(i)})
		}
		return p
	}
	if d, ok := daysToFull(line(240, 1000, -1)); !ok || d < 31 || d > 32 {
		t.Errorf("%v days, %v", d, ok)
	}
	if _, ok := daysToFull(line(240, 1000, 1)); ok {
		t.Error("a disk that empties gets full")
	}
	if _, ok := daysToFull(line(10, 1000, -50)); ok {
		t.Error("a trend out of ten hours")
	}
}

// A disk that gets full is told of once, not at each turn of the forecast.
func TestTrend(t *testing.T) {
	m := monitor(t, Config{SMTP: "127.0.0.1:1"})
	now := time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC)
	ask := func() string {
		m.trend(t.Context(), now)
		m.step(t.Context(), now)
		now = now.Add(trendEvery)
		var what []string
		for _, s := range m.judge.States() {
			what = append(what, s.Level.String()+": "+s.What)
		}
		return strings.Join(what, "; ")
	}
	fill := func(left, perDay float64) { // for ten days until now
		for h := range 240 {
			at := now.Add(-time.Duration(h) * time.Hour)
			if err := m.history.Add("space/data/free", at, left+perDay*float64(h)/24); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := ask(); s != "" {
		t.Errorf("without a history: %s", s)
	}
	fill(40e9, 1e9)
	for range 2 * confirmations {
		ask()
	}
	if s := ask(); s != "watch: The disk will be full in about 40 days if mail goes on growing as it did." {
		t.Error(s)
	}
	for n, turn := range []float64{0.97, 1.03, 0.97, 1.03} {
		m.put("trend", []healthapi.Reading{{ID: trendID, Kind: healthapi.Days, Value: trendWatch * turn, WatchLow: ptr(trendWatch), BadLow: ptr(trendBad)}}, nil)
		m.step(t.Context(), now)
		if len(m.judge.States()) != 1 {
			t.Errorf("turn %d ended it", n)
		}
	}
}

// sink takes mail and gives the messages.
func sink(t *testing.T) (addr string, messages chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	messages = make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprint(c, "220 x\r\n")
				var b strings.Builder
				for in, data := bufio.NewReader(c), false; ; {
					s, err := in.ReadString('\n')
					if err != nil {
						return
					}
					b.WriteString(s)
					switch {
					case data && s == ".\r\n":
						data = false
						messages <- b.String()
						fmt.Fprint(c, "250 ok\r\n")
					case data:
					case strings.HasPrefix(s, "DATA"):
						data = true
						fmt.Fprint(c, "354 go\r\n")
					default:
						fmt.Fprint(c, "250 ok\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String(), messages
}

func change(id string, level, was healthapi.Level, what string) Change {
	return Change{healthapi.State{ID: id, Level: level, What: what, Means: "It matters.", Do: "Do something."}, was}
}

func TestMessenger(t *testing.T) {
	addr, messages := sink(t)
	hooks := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		_, _ = bufio.NewReader(r.Body).WriteTo(&b)
		hooks <- b.String()
	}))
	defer hook.Close()
	file := filepath.Join(t.TempDir(), "waiting.json")
	m := &Messenger{File: file, SMTP: "127.0.0.1:1", Settings: func() healthapi.Settings { return healthapi.Settings{Webhook: hook.URL} }, Hostname: func() string { return "mail.example.org" }, Log: slog.New(slog.DiscardHandler)}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m.Tell(now, []Change{change("fan", healthapi.Watch, healthapi.OK, "A fan is slow.")})
	m.Tell(now.Add(time.Second), []Change{change("disk", healthapi.Bad, healthapi.OK, "A disk fails — now.")})
	m.Work(t.Context(), now.Add(2*time.Second))
	if len(hooks) != 0 {
		t.Error("told before others could join")
	}
	now = now.Add(gather + time.Second)
	m.Work(t.Context(), now) // mail does not work yet
	if h := <-hooks; !strings.Contains(h, `"was":"ok"`) || !strings.Contains(h, `"level":"bad"`) {
		t.Errorf("the webhook got %s", h)
	}
	m = &Messenger{File: file, SMTP: addr, Settings: m.Settings, Hostname: m.Hostname, Log: m.Log}
	if err := m.Load(now.Add(-gather)); err != nil {
		t.Fatal(err)
	}
	m.box(byMail).tried = now
	m.Work(t.Context(), now.Add(time.Second)) // not again at once
	if len(messages) != 0 {
		t.Error("tried again at once")
	}
	now = now.Add(retryEvery)
	m.Work(t.Context(), now)
	got := <-messages
	for _, want := range []string{"MAIL FROM:<>", "RCPT TO:<postmaster>", "mail.example.org", "_fails_", "(and_1_more)", "Auto-Submitted: auto-generated", "A fan is slow.", "What to do: Do something."} {
		if !strings.Contains(got, want) {
			t.Errorf("the mail lacks %q:\n%s", want, got)
		}
	}
	if len(hooks) != 0 {
		t.Error("the webhook was told twice")
	}
	m.Tell(now, []Change{change("fan", healthapi.OK, healthapi.Watch, "A fan is slow.")})
	m.Work(t.Context(), now.Add(gather))
	m.Work(t.Context(), now.Add(retryEvery))
	<-messages
	// A fan that comes and goes is told once in a while, and how it ended up.
	for i := range 20 {
		level, was := healthapi.OK, healthapi.Watch
		if i%2 == 1 {
			level, was = was, level
		}
		m.Tell(now.Add(time.Duration(i)*time.Second), []Change{change("fan", level, was, "A fan is slow.")})
	}
	m.Work(t.Context(), now.Add(5*time.Minute))
	if len(messages) != 0 {
		t.Error("a flood")
	}
	m.Work(t.Context(), now.Add(2*floodGap))
	m.Work(t.Context(), now.Add(2*floodGap+gather))
	if len(messages) != 0 {
		t.Errorf("ended up as it began and is told: %s", <-messages)
	}
}

type timer struct{ fed int }

func (t *timer) Feed() error { t.fed++; return nil }

func TestWatchdog(t *testing.T) {
	reason := filepath.Join(t.TempDir(), "reason")
	tm := &timer{}
	w := &Watchdog{Timer: tm, ReasonFile: reason, Log: slog.New(slog.DiscardHandler)}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.Step(now)
	w.Step(now.Add(startPatience - time.Minute)) // a large store opens
	if tm.fed != 2 {
		t.Fatalf("fed %d times while it starts", tm.fed)
	}
	now = now.Add(startPatience)
	w.Probed(now, nil)
	w.Step(now)
	w.Probed(now.Add(time.Minute), errors.New("SMTP does not greet"))
	w.Step(now.Add(patience - time.Second))
	if tm.fed != 4 {
		t.Errorf("fed %d times, not while patience lasts", tm.fed)
	}
	w.Step(now.Add(patience + time.Second))
	w.Step(now.Add(patience + time.Minute))
	if tm.fed != 4 || w.Status().Held == "" {
		t.Errorf("fed %d times though the box hangs, held %q", tm.fed, w.Status().Held)
	}
	raw, err := os.ReadFile(reason)
	if err != nil || !strings.Contains(string(raw), "SMTP does not greet") {
		t.Errorf("reason %q, %v", raw, err)
	}
	// It works again before the timer has run out.
	w.Probed(now.Add(patience+90*time.Second), nil)
	w.Step(now.Add(patience + 91*time.Second))
	if tm.fed != 5 || w.Status().Held != "" {
		t.Errorf("not fed again: %d, %q", tm.fed, w.Status().Held)
	}
	if _, err := os.Stat(reason); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the reason for a restart that did not come is kept: %v", err)
	}
}

func TestWatchdogThatDidNotHelp(t *testing.T) {
	tm := &timer{}
	w := &Watchdog{Timer: tm, ReasonFile: filepath.Join(t.TempDir(), "reason"), Log: slog.New(slog.DiscardHandler)}
	w.Set(healthapi.Watchdog{LastReset: "mail is not served"})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.Step(now)
	w.Probed(now, errors.New("mail is not served"))
	w.Step(now.Add(2 * startPatience))
	if tm.fed != 2 {
		t.Error("a box that a restart did not mend is restarted again")
	}
	now = now.Add(2 * startPatience)
	w.Probed(now, nil)
	w.Step(now.Add(patience + time.Second))
	if tm.fed != 2 {
		t.Error("fed though the box worked and hangs now")
	}
}

// Before the box is restarted the remedy is tried, once for each time that it
// does not work, and never while it starts.
func TestRemedy(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var w Watchdog
	for _, step := range []struct {
		after time.Duration
		works bool
		want  bool
	}{
		{startPatience, false, false}, // it has never worked
		{time.Second, true, false},
		{patience / 2, false, false},
		{time.Second, false, true},
		{time.Minute, false, false}, // once
		{time.Second, true, false},
		{patience/2 + time.Second, false, true}, // a new time
	} {
		now = now.Add(step.after)
		if step.works {
			w.Probed(now, nil)
		}
		if due := w.remedyDue(now); due != step.want {
			t.Errorf("after %v: %v", step.after, due)
		}
	}
}

// restarts keeps what init was asked to start anew.
type restarts struct {
	initapi.Service
	state string // of all services
	names []string
}

func (r *restarts) Services(context.Context) ([]initapi.ServiceStatus, error) {
	return []initapi.ServiceStatus{{Name: "boxd", State: r.state}, {Name: "maild", State: r.state}}, nil
}

func (r *restarts) Restart(_ context.Context, name string) error {
	r.names = append(r.names, name)
	return nil
}

// boxOf answers its status with err.
type boxOf struct {
	boxapi.Service
	err error
}

func (b boxOf) Status(context.Context) (*boxapi.Status, error) { return &boxapi.Status{}, b.err }

func (b boxOf) TestNetwork(_ context.Context, r boxapi.TestRequest) (*boxapi.NetworkTest, error) {
	return &boxapi.NetworkTest{Test: r.Test, OK: true}, b.err
}

func TestRemedyPicksTheDaemonThatHangs(t *testing.T) {
	r := restarts{state: initapi.StateStarting}
	monitor(t, Config{Init: &r, Box: boxOf{}}).remedy(t.Context())
	if len(r.names) != 0 {
		t.Errorf("%v was started anew while it starts", r.names)
	}
	r.state = initapi.StateRunning
	monitor(t, Config{Init: &r, Box: boxOf{}}).remedy(t.Context())
	monitor(t, Config{Init: &r, Box: boxOf{err: context.DeadlineExceeded}}).remedy(t.Context())
	if strings.Join(r.names, " ") != "maild boxd" {
		t.Errorf("%v", r.names)
	}
}

func TestNoTimer(t *testing.T) {
	dir := t.TempDir()
	tm, status, err := OpenTimer(dir, dir, nil)
	if tm != nil || status.Device != "" || err != nil {
		t.Errorf("%v, %+v, %v", tm, status, err)
	}
}

func TestBestTimer(t *testing.T) {
	const chipset, card = "iTCO_wdt", "i6300ESB timer"
	for _, tt := range []struct {
		name      string
		there     []string // identities of watchdog0, watchdog1 and so on
		preferred []string
		want      string
	}{
		{"one", []string{chipset}, nil, chipset},
		{"the kernel's own alone", []string{softdog}, []string{card}, softdog},
		{"hardware first", []string{softdog, chipset}, nil, chipset},
		{"the first of the hardware", []string{chipset, card}, nil, chipset},
		{"the board's choice", []string{chipset, card, softdog}, []string{card}, card},
		{"the board's choice is not there", []string{softdog, chipset}, []string{card}, chipset},
		{"the board's order", []string{chipset, card}, []string{"IPMI", card, chipset}, card},
		{"the board wants the kernel's own", []string{chipset, softdog}, []string{softdog}, softdog},
	} {
		sys, names := map[string]string{}, []string{}
		for i, id := range tt.there {
			names = append(names, fmt.Sprintf("watchdog%d", i))
			sys[names[i]+"/identity"] = id
		}
		root := tree(t, sys)
		for i := range names {
			names[i] = filepath.Join(root, names[i])
		}
		if got := line(filepath.Join(bestTimer(names, tt.preferred), "identity")); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestLastReset(t *testing.T) {
	dir := t.TempDir()
	reason := filepath.Join(dir, "reason")
	for _, tt := range []struct{ name, timer, kept, want string }{
		{"nothing", "", "", ""},
		{"the timer alone", "the whole system hung", "", "the whole system hung"},
		{"what was written down", "the whole system hung", "SMTP does not greet\n", "SMTP does not greet"},
		{"a timer that cannot say", "", "SMTP does not greet\n", "SMTP does not greet"},
	} {
		boot := filepath.Join(dir, tt.name)
		if tt.kept != "" {
			if err := os.WriteFile(reason, []byte(tt.kept), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// The second is a healthd that was itself started again.
		for i, timer := range []string{tt.timer, "the whole system hung"} {
			if got, err := lastReset(timer, reason, boot); got != tt.want || err != nil {
				t.Errorf("%s, start %d: %q, %v", tt.name, i, got, err)
			}
		}
		if _, err := os.Stat(reason); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the reason stays for the next start: %v", tt.name, err)
		}
	}
}

func TestGreeting(t *testing.T) {
	addr, _ := sink(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := smtpGreets.greeting(ctx, addr); err != nil {
		t.Error(err)
	}
	if err := smtpGreets.greeting(ctx, "127.0.0.1:1"); err == nil {
		t.Error("nobody greets")
	}
	if err := imapGreets.greeting(ctx, addr); err == nil || !strings.Contains(err.Error(), "220") {
		t.Errorf("SMTP was taken for IMAP: %v", err)
	}
}

func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings.json")
	if s, err := loadSettings(path); err != nil || s != (healthapi.Settings{}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{`{"webhook": "ftp://x"}`, `{"ups": "rack"}`, `{"syslog": "logs.example.org"}`, `{"syslog_fingerprint": "ab"}`, `{`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadSettings(path); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// What is well again before anybody could be told is told as that.
func TestMessengerOvertaken(t *testing.T) {
	addr, messages := sink(t)
	m := &Messenger{File: filepath.Join(t.TempDir(), "waiting.json"), SMTP: "127.0.0.1:1", Settings: func() healthapi.Settings { return healthapi.Settings{} }, Hostname: func() string { return "mail.example.org" }, Log: slog.New(slog.DiscardHandler)}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m.Tell(now, []Change{change("disk", healthapi.Bad, healthapi.OK, "The disk is full.")})
	m.Work(t.Context(), now.Add(gather))
	m.Tell(now.Add(gather), []Change{change("disk", healthapi.OK, healthapi.Bad, "The disk is full.")})
	m.SMTP = addr
	m.Work(t.Context(), now.Add(gather+retryEvery))
	if got := <-messages; !strings.Contains(got, "WELL AGAIN") || strings.Contains(got, "LOOK NOW") {
		t.Errorf("got\n%s", got)
	}
}
