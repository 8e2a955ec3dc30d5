package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
	"pillarbox/appliance/api/wire"
	"pillarbox/appliance/box/health/drive"
	"pillarbox/appliance/box/kmsg"
	"pillarbox/appliance/box/syslog"
	"pillarbox/appliance/config/atomicfile"
	"pillarbox/appliance/config/boardfile"
)

const (
	quickEvery  = 10 * time.Second // links, UPS, daemons
	sensorEvery = time.Minute
	driveEvery  = 10 * time.Minute // asking a disk other than NVMe costs it a moment
	flushEvery  = time.Hour
	trendEvery  = time.Hour
	sourceTime  = 20 * time.Second

	// answerWithin is far beyond what many disks that are busy, and a slow
	// management controller, take together.
	answerWithin = 5 * time.Minute
)

// Config says what to watch and where to keep it.
type Config struct {
	Root  string // "/", or a folder with recorded sys, proc and dev for tests
	State string // the state volume
	Data  string // the data volume
	Init  initapi.Service
	Box   boxapi.Service
	Mail  mailapi.Service
	SMTP  string // where alerts are handed in, host:port
	IMAP  string // where people read their mail, host:port
	Log   *slog.Logger
	// MetricsAddress is where metrics are served, where they are.
	MetricsAddress string
	// ReadDrive asks a disk; drive.Read where nil.
	ReadDrive func(sys, name string) (*drive.Health, error)
	// TestDrive lets a disk test itself; drive.StartSelfTest where nil.
	TestDrive func(sys, name string, long bool) error
}

// Monitor reads, judges, remembers and tells. It is the healthapi.Service.
type Monitor struct {
	cfg          Config
	dir          string
	history      *History
	messenger    *Messenger
	watchdog     *Watchdog
	daemons      *daemons
	carriers     carriers
	fans         fans
	board        *boardfile.File
	bmc          *management
	mailProbe    mailProbe
	kernel       kernel
	weeklyTried  time.Time
	listsAsked   time.Time
	namesFailing int  // tries in a row
	powerOff     bool // has been asked for

	// Settings may not be what they were; capacity 1.
	syslogChanged  chan struct{}
	metricsChanged chan struct{}

	mu          sync.Mutex
	judge       *Judge
	settings    healthapi.Settings
	sender      *syslog.Sender // of the log; nil where it is not sent
	senderFault time.Time
	hostname    string
	groups      map[string]*group
	asked       map[string]time.Time // since when sources have been asked; zero: they have answered
}

// group is what a group of sources read last. Each is replaced whole, at times
// of its own.
type group struct {
	readings []healthapi.Reading
	findings []finding
	judged   bool // the readings have been
}

var _ healthapi.Service = (*Monitor)(nil)

// New opens what was kept.
func New(cfg Config) (*Monitor, error) {
	if cfg.ReadDrive == nil {
		cfg.ReadDrive = drive.Read
	}
	if cfg.TestDrive == nil {
		cfg.TestDrive = drive.StartSelfTest
	}
	dir := filepath.Join(cfg.State, "health")
	history, err := OpenHistory(filepath.Join(dir, "history"))
	if err != nil {
		return nil, err
	}
	settings, err := loadSettings(filepath.Join(dir, "settings.json"))
	if err != nil {
		// Watching goes on without settings, and the owner hears why.
		cfg.Log.Error("settings of the health monitor cannot be read", "error", err)
	}
	var before []healthapi.State
	raw, err := os.ReadFile(filepath.Join(dir, "states.json"))
	if err == nil {
		err = json.Unmarshal(raw, &before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		cfg.Log.Warn("states from before cannot be read; alerts may come twice", "error", err)
	}
	m := &Monitor{
		cfg: cfg, dir: dir, history: history, settings: settings, hostname: "pillarbox",
		judge: NewJudge(before, time.Now()), carriers: carriers{map[string]bool{}, map[string]*errorCount{}},
		daemons: &daemons{init: cfg.Init, box: cfg.Box, mail: cfg.Mail, restarts: map[string]int{}, silentSince: map[string]time.Time{}, problemSince: map[string]map[string]time.Time{}},
		fans:    fans{}, board: readBoard(filepath.Join(cfg.Root, boardfile.Path), cfg.Log), groups: map[string]*group{}, asked: map[string]time.Time{}, syslogChanged: make(chan struct{}, 1), metricsChanged: make(chan struct{}, 1),
	}
	m.bmc = &management{open: openController(m.path("dev")), path: filepath.Join(dir, "ipmi.json"), log: cfg.Log}
	m.messenger = &Messenger{File: filepath.Join(dir, "waiting.json"), SMTP: cfg.SMTP, Settings: m.present, Hostname: m.name, Log: cfg.Log}
	if err := m.messenger.Load(time.Now()); err != nil {
		cfg.Log.Warn("alerts that waited before cannot be read", "error", err)
	}
	m.watchdog = &Watchdog{Probe: m.probe, Remedy: m.remedy, ReasonFile: m.reasonFile(), Log: cfg.Log}
	return m, nil
}

func (m *Monitor) settingsFile() string { return filepath.Join(m.dir, "settings.json") }
func (m *Monitor) reasonFile() string   { return filepath.Join(m.dir, "watchdog-reason") }
func (m *Monitor) path(parts ...string) string {
	return filepath.Join(append([]string{m.cfg.Root}, parts...)...)
}

func (m *Monitor) present() healthapi.Settings {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settings
}

func (m *Monitor) name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hostname
}

// Run watches until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	m.begin()
	var all sync.WaitGroup
	all.Go(func() { m.watchdog.Run(ctx) })
	all.Go(func() { m.forward(ctx) })
	all.Go(func() { m.serveMetrics(ctx) })
	all.Go(func() {
		if err := kmsg.Read(ctx, m.path("dev/kmsg"), func(r kmsg.Record) { m.kernel.take(time.Now(), r) }); err != nil {
			m.cfg.Log.Warn("what the kernel complains of is not seen", "error", err)
		}
	})
	for _, s := range []struct {
		of    string // what it asks, for people
		every time.Duration
		read  func(context.Context, time.Time)
	}{
		{"the services", quickEvery, m.quick}, {"the sensors", sensorEvery, m.sensors}, {"the NVMe disks", sensorEvery, m.nvmes},
		{"the management controller", sensorEvery, m.management}, {"the disks", driveEvery, m.drives}, {"the disks' own tests", driveEvery, m.selfTests},
		{"the disk's history", trendEvery, m.trend}, {"the block lists", trendEvery, m.lists}, {"the name servers", namesEvery, m.names},
	} {
		all.Go(func() {
			for {
				m.ask(s.of, time.Now(), func(now time.Time) { s.read(ctx, now) })
				if !wait(ctx, s.every) {
					return
				}
			}
		})
	}
	all.Go(func() {
		for wait(ctx, flushEvery) {
			m.flush()
		}
	})
	all.Go(func() {
		for wait(ctx, quickEvery) {
			m.step(ctx, time.Now())
		}
	})
	all.Go(func() { // apart: a mail server that hangs must not keep states from being judged
		for wait(ctx, quickEvery) {
			m.messenger.Work(ctx, time.Now())
			m.weekly(ctx, time.Now())
		}
	})
	all.Wait()
	m.flush()
	return nil
}

// begin does what is done once a start.
func (m *Monitor) begin() {
	timer, status, err := OpenTimer(m.path("sys"), m.path("dev"), m.board.Watchdogs)
	if err != nil {
		m.cfg.Log.Error("there is a watchdog and it cannot be used", "error", err)
	}
	if status.LastReset, err = lastReset(status.LastReset, m.reasonFile(), m.path("run/healthd.reset")); err != nil {
		m.cfg.Log.Warn("the watchdog's reason is told again later", "error", err)
	}
	if status.LastReset != "" {
		m.cfg.Log.Warn("the watchdog has restarted the box", "reason", status.LastReset)
	}
	m.watchdog.Timer = timer
	m.watchdog.Set(status)
	words, err := lastWords(m.path("sys/fs/pstore"), filepath.Join(m.cfg.State, healthapi.CrashFolder))
	if err != nil {
		m.cfg.Log.Warn("the kernel's last words", "error", err)
	}
	m.put("start", nil, []finding{restartFinding(status), words})
}

// put replaces what a group of sources read.
func (m *Monitor) put(name string, r []healthapi.Reading, f []finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[name] = &group{readings: r, findings: f}
}

func (m *Monitor) quick(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	if s, err := m.cfg.Box.Status(ctx); err == nil && s.Hostname != "" {
		m.mu.Lock()
		m.hostname = s.Hostname
		m.mu.Unlock()
	}
	readings, found := m.daemons.read(ctx, now)
	if r, f, fresh := m.mailProbe.outcome(); fresh {
		m.put("probe", []healthapi.Reading{r}, []finding{f})
	}
	r, f := m.carriers.read(m.path("sys"), now)
	readings, found = append(readings, r...), append(found, f...)
	found = append(found, arrays(m.path("sys"))...)
	found = append(found, controllerArrays(m.path("sys"))...)
	found = append(found, m.kernel.read(now)...)
	found = append(found, m.readSyslog(now)...)
	if uptime(m.path("proc")) >= complaintShown {
		m.put("start", nil, nil) // what led to it is history
	}
	if where := m.present().UPS; where != "" {
		r, f := m.ups(ctx, where)
		readings, found = append(readings, r...), append(found, f...)
	}
	m.put("quick", readings, found)
}

func (m *Monitor) ups(ctx context.Context, where string) ([]healthapi.Reading, []finding) {
	answers := finding{id: "ups/answers"}
	vars, err := upsVariables(ctx, where)
	if err != nil {
		answers.level = healthapi.Watch
		answers.what = "The UPS does not answer: " + err.Error() + "."
		answers.means, answers.do = "The box would not hear of a power cut.", "Look at the UPS server's address in the settings, and at its cable."
		return nil, []finding{answers}
	}
	r, f := ups(vars)
	if f.final && !m.powerOff {
		m.powerOff = true
		m.cfg.Log.Error("the UPS battery is nearly empty: switching off")
		if err := m.cfg.Box.PowerOff(ctx, boxapi.StopRequest{Reason: "the UPS battery is nearly empty"}); err != nil {
			m.powerOff = false
			m.cfg.Log.Error("switching off failed", "error", err)
		}
	}
	return r, []finding{answers, f}
}

func (m *Monitor) sensors(_ context.Context, now time.Time) {
	readings := hwmon(m.path("sys"), m.board.Sensors)
	m.fans.read(readings)
	readings = append(readings, memoryErrors(m.path("sys"))...)
	readings = append(readings, machine(m.path("proc"))...)
	readings = append(readings, space("data", "mail", m.cfg.Data)...)
	readings = append(readings, space("state", "settings", m.cfg.State)...)
	m.put("sensors", readings, nil)
}

func (m *Monitor) nvmes(ctx context.Context, now time.Time) {
	r, f := readDrives(m.path("sys"), isNVMe, m.cfg.ReadDrive)
	m.put("nvmes", r, m.ofMail(ctx, f))
}

// management has a turn of its own: a slow controller takes seconds.
func (m *Monitor) management(_ context.Context, now time.Time) {
	m.mu.Lock()
	bad := slices.ContainsFunc(m.judge.States(), func(s healthapi.State) bool { return s.Level == healthapi.Bad && !s.Known })
	light := bad && m.settings.Light
	m.mu.Unlock()
	r, f := m.bmc.read(now, light)
	m.put("management", r, f)
}

func (m *Monitor) drives(ctx context.Context, now time.Time) {
	r, f := readDrives(m.path("sys"), isNotNVMe, m.cfg.ReadDrive)
	m.put("drives", r, m.ofMail(ctx, f))
}

// ofMail says of what was found about disks whether it is about the one that mail is
// kept on.
func (m *Monitor) ofMail(ctx context.Context, found []finding) []finding {
	st, err := m.cfg.Init.Status(ctx)
	if err != nil || st.Data.Disk == "" {
		return found
	}
	for i := range found {
		if found[i].level != healthapi.OK && found[i].disk == st.Data.Disk {
			found[i].means += " Mail is kept on it."
		}
	}
	return found
}

// Days until the disk is full. A new disk is not bought and built in within two
// weeks; what is years away is not known.
const (
	trendID    = "space/data/trend"
	trendWatch = 60.0
	trendBad   = 14.0
	trendMost  = 3650.0
)

// trend says when the disk will be full if things go on as they did.
func (m *Monitor) trend(_ context.Context, now time.Time) {
	points, err := m.history.Points("space/data/free", healthapi.SpanMonth, now)
	if err != nil {
		return // nothing is known yet
	}
	days, ok := daysToFull(points)
	if !ok {
		m.put("trend", nil, nil)
		return
	}
	m.put("trend", []healthapi.Reading{{
		ID: trendID, Kind: healthapi.Days, Name: "time until the disk for mail is full", Value: min(days, trendMost),
		WatchLow: ptr(trendWatch), BadLow: ptr(trendBad),
	}}, nil)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return healthapi.Format(healthapi.Count, float64(n)) + " " + many
}

// step judges what was read last, remembers it and tells what changed.
func (m *Monitor) step(ctx context.Context, now time.Time) {
	m.mu.Lock()
	var fresh []healthapi.Reading
	found := m.unanswered(now)
	for _, g := range m.groups {
		found = append(found, g.findings...)
		if g.judged {
			// To judge it again would make two of one reading.
			m.judge.Keep(now, g.readings)
			continue
		}
		g.judged = true
		fresh = append(fresh, g.readings...)
	}
	changes := m.judge.Take(now, fresh, found)
	states := m.judge.States()
	m.mu.Unlock()
	for _, r := range fresh {
		if err := m.history.Add(r.ID, now, r.Value); err != nil {
			m.cfg.Log.Debug("a reading is not kept", "error", err)
		}
	}
	for _, c := range changes {
		m.cfg.Log.Warn("health", "id", c.State.ID, "level", c.State.Level.String(), "was", c.Was.String(), "what", c.State.What)
	}
	if len(changes) > 0 {
		if err := m.keepStates(states); err != nil {
			m.cfg.Log.Warn("states are not kept; alerts may come twice after a restart", "error", err)
		}
	}
	if m.present().Speaker && slices.ContainsFunc(changes, func(c Change) bool { return c.State.Level == healthapi.Bad }) {
		if err := beep(ctx, m.path("dev")); err != nil {
			m.cfg.Log.Debug("the speaker", "error", err)
		}
	}
	m.messenger.Tell(now, changes)
}

func (m *Monitor) keepStates(states []healthapi.State) error {
	raw, err := json.MarshalIndent(states, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(m.dir, "states.json"), raw, 0o600)
}

// SetKnown implements healthapi.Service.
func (m *Monitor) SetKnown(_ context.Context, k healthapi.Known) error {
	m.mu.Lock()
	there := m.judge.SetKnown(k.ID, k.Known)
	states := m.judge.States()
	m.mu.Unlock()
	if !there {
		return wire.NotFound("there is no state %q", k.ID)
	}
	m.cfg.Log.Info("somebody knows of a state, or not any more", "id", k.ID, "known", k.Known)
	return m.keepStates(states)
}

// ask notes how long read takes, which asks of.
func (m *Monitor) ask(of string, now time.Time, read func(now time.Time)) {
	m.mu.Lock()
	m.asked[of] = now
	m.mu.Unlock()
	read(now)
	m.mu.Lock()
	m.asked[of] = time.Time{}
	m.mu.Unlock()
}

// unanswered are findings about what was asked and has not answered for long. A
// disk that is dead may hold up who asks it for good, and what it said last stays
// in sight.
func (m *Monitor) unanswered(now time.Time) (found []finding) {
	for of, since := range m.asked {
		f := finding{id: "health/" + of}
		if !since.IsZero() && now.Sub(since) >= answerWithin {
			f.level = healthapi.Watch
			f.what = fmt.Sprintf("The health monitor waits for an answer of %s.", of)
			f.means = "What is known of them is old. A part may hang."
			f.do = "Look at the log of the kernel; restart the box when it suits."
		}
		found = append(found, f)
	}
	return found
}

// readings are all that were read last.
func (m *Monitor) readings() (all []healthapi.Reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.groups {
		all = append(all, g.readings...)
	}
	return all
}

func (m *Monitor) flush() {
	if err := m.history.Flush(); err != nil {
		m.cfg.Log.Warn("history is not kept", "error", err)
	}
}

// probe asks every daemon whose work is the box's, and once in a while has a
// test message sent.
func (m *Monitor) probe(ctx context.Context) error {
	if _, err := m.cfg.Init.Status(ctx); err != nil {
		return err
	}
	if _, err := m.cfg.Box.Status(ctx); err != nil {
		return err
	}
	s, err := m.cfg.Mail.Status(ctx)
	if err != nil {
		return err
	}
	if !s.Serving {
		return errors.New("mail is not served")
	}
	if err := smtpGreets.greeting(ctx, m.cfg.SMTP); err != nil {
		return err
	}
	if err := imapGreets.greeting(ctx, m.cfg.IMAP); err != nil {
		return err
	}
	if s.Disk.State != mailapi.DiskOK {
		return nil // no mail is taken, which is said elsewhere and no restart mends
	}
	return m.mailProbe.run(ctx, m.cfg.Mail)
}

// remedy has the daemon started anew that hangs; a hang is no end, which init
// would see by itself.
func (m *Monitor) remedy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	service := "maild"
	if _, err := m.cfg.Box.Status(ctx); err != nil {
		service = "boxd"
	}
	list, err := m.cfg.Init.Services(ctx)
	if err != nil {
		return // nobody could start anything
	}
	if !slices.ContainsFunc(list, func(s initapi.ServiceStatus) bool { return s.Name == service && s.State == initapi.StateRunning }) {
		return // it is being started, and may have a large store to open
	}
	m.cfg.Log.Error("a daemon hangs and is started anew", "service", service)
	if err := m.cfg.Init.Restart(ctx, service); err != nil {
		m.cfg.Log.Error("it could not be started anew", "service", service, "error", err)
	}
}

// Status implements healthapi.Service.
func (m *Monitor) Status(context.Context) (*healthapi.Status, error) {
	readings := m.readings()
	slices.SortFunc(readings, func(a, b healthapi.Reading) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	m.mu.Lock()
	states := m.judge.States()
	m.mu.Unlock()
	s := &healthapi.Status{Time: time.Now(), States: states, Readings: readings, Watchdog: m.watchdog.Status()}
	for _, st := range states {
		if !st.Known {
			s.Level = max(s.Level, st.Level)
		}
	}
	return s, nil
}

// History implements healthapi.Service.
func (m *Monitor) History(_ context.Context, id, span string) ([]healthapi.Point, error) {
	points, err := m.history.Points(id, span, time.Now())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wire.NotFound("there is no reading %q", id)
	}
	return points, err
}
