package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/sys/unix"

	"pillarbox/appliance/box/nts"
	"pillarbox/appliance/config"
)

const (
	// askEvery is how often the time servers are asked once they have answered;
	// retryEvery before that.
	askEvery   = 17 * time.Minute
	retryEvery = 20 * time.Second

	askTimeout = 3 * time.Second
	// asked is how many servers are asked at a time: with three answers one
	// that is wrong is outvoted.
	asked = 4

	// stepFrom is the error from which the clock is set at boot rather than
	// slewed: the kernel slews half a millisecond a second.
	stepFrom = 500 * time.Millisecond

	// badFrom is the error that later is not followed but told: the clock of a
	// running box does not go wrong by so much, a server may.
	badFrom = 10 * time.Minute

	// unproven is after how long without an answer that is authenticated, where
	// that was asked for, it is told; a network that comes up late is not.
	unproven = 10 * time.Minute

	// apart is how far answers may differ to agree.
	apart = 250 * time.Millisecond
)

// Answer is what one time server said.
type Answer struct {
	Server string
	Offset time.Duration // to be added to the clock
	Err    error
}

// State is how the clock is followed.
type State struct {
	Synced bool
	Source string        // the server whose answer was taken
	Offset time.Duration // the clock was behind by this at the last answer, unless it was set then
	LastOK time.Time
	// Proven says that the answer was authenticated by NTS.
	Proven bool
	// Stepped is what the clock was set by at the first answer.
	Stepped time.Duration
	// Problem is a sentence where something is wrong.
	Problem string
}

// Follower keeps the clock with time servers.
type Follower struct {
	// Servers gives the names to ask, the best first. Where one begins with
	// config.NTS only such are asked: one that proves nothing must not outvote
	// those that do, nor stand in for them.
	Servers func() []string
	// Ask asks one; confirmed says that the clock was set by an answer that was
	// proven.
	Ask func(ctx context.Context, server string, confirmed bool) (time.Duration, error)
	// Built is a time that has passed for certain, such as that of the build; zero:
	// unknown. Who tells an earlier one, or one long after it, is not believed: a
	// clock so far off has every certificate run out, or not begun.
	Built time.Time
	// Step sets the clock by an offset, Slew lets it run there. The kernel's
	// clock where nil.
	Step, Slew func(time.Duration) error
	Log        *slog.Logger

	began time.Time // when servers were asked first
	mu    sync.Mutex
	state State
}

// State tells how it goes.
func (f *Follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Run follows the time servers until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	if f.Step == nil {
		f.Step, f.Slew = step, slew
	}
	for ctx.Err() == nil {
		f.once(ctx, time.Now())
		d := retryEvery
		if f.State().Synced {
			d = askEvery
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// once asks the servers and follows what they agree on.
func (f *Follower) once(ctx context.Context, now time.Time) {
	if f.began.IsZero() {
		f.began = now
	}
	servers, proven := choose(f.Servers())
	before := f.State()
	confirmed := before.Proven && !before.LastOK.IsZero()
	answers := make([]Answer, min(len(servers), asked))
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			offset, err := f.Ask(ctx, servers[i], confirmed)
			if at := now.Add(offset); err == nil {
				if _, ok := Sane(at, f.Built); !ok {
					err = &implausible{servers[i], at}
				}
			}
			answers[i] = Answer{servers[i], offset, err}
		})
	}
	all.Wait()
	best, err := agree(answers)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.Log.Debug("time servers", "error", err)
		if told := (*implausible)(nil); errors.As(err, &told) {
			f.state.Problem = told.Error()
		}
		if now.Sub(f.state.LastOK) > 3*askEvery {
			f.state.Synced = false
		}
		if proven && !f.state.Synced && now.Sub(f.began) > unproven {
			f.Log.Warn("no time server proves its answers", "error", err)
			f.state.Problem = "no time server proves its answers by NTS, and the settings ask for nothing less: the clock runs on its own"
		}
		return
	}
	first := f.state.LastOK.IsZero()
	stepped := f.state.Stepped
	size := best.Offset.Abs()
	switch {
	case first && size >= stepFrom:
		err = f.Step(best.Offset)
		f.Log.Info("the clock was set", "by", best.Offset, "server", best.Server)
		stepped = best.Offset
		best.Offset, now = 0, time.Now() // it is right now
		f.began = now
	case !first && size >= badFrom:
		f.state.Problem = fmt.Sprintf("the clock and the time server %s differ by %v; restart the box to set the clock", best.Server, best.Offset.Round(time.Second))
		return
	default:
		err = f.Slew(best.Offset)
	}
	if err != nil {
		f.state.Problem = fmt.Sprintf("the clock cannot be set: %v", err)
		return
	}
	f.state = State{Synced: true, Source: best.Server, Offset: best.Offset, LastOK: now, Proven: proven, Stepped: stepped}
}

// implausible is an answer that is not believed.
type implausible struct {
	server string
	at     time.Time
}

func (e *implausible) Error() string {
	return fmt.Sprintf("the time server %s tells %s, which is too far from when this version was made to be believed",
		e.server, e.at.UTC().Format(time.DateOnly))
}

// choose leaves out the servers that prove nothing where others do, and says
// whether that is so.
func choose(servers []string) (list []string, proven bool) {
	for _, s := range servers {
		if strings.HasPrefix(s, config.NTS) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return servers, false
	}
	return list, true
}

// agree takes the median of the answers that most of the servers agree on.
func agree(answers []Answer) (Answer, error) {
	var good []Answer
	var errs []error
	for _, a := range answers {
		if a.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.Server, a.Err))
			continue
		}
		good = append(good, a)
	}
	if len(good) == 0 {
		return Answer{}, errors.Join(append([]error{errors.New("no time server answers")}, errs...)...)
	}
	slices.SortFunc(good, func(a, b Answer) int { return int((a.Offset - b.Offset) / time.Microsecond) })
	median := good[len(good)/2]
	votes := 0
	for _, a := range good {
		if (a.Offset - median.Offset).Abs() <= apart {
			votes++
		}
	}
	if votes*2 <= len(good) {
		return Answer{}, errors.New("the time servers do not agree")
	}
	return median, nil
}

// Ask asks a server as its name says: by NTS, or by SNTP alone.
func Ask(proof *nts.Client) func(ctx context.Context, server string, confirmed bool) (time.Duration, error) {
	return func(ctx context.Context, server string, confirmed bool) (time.Duration, error) {
		if server, ok := strings.CutPrefix(server, config.NTS); ok {
			return proof.Offset(ctx, server, confirmed)
		}
		return sntp(server)
	}
}

// sntp asks one server (RFC 5905).
func sntp(server string) (time.Duration, error) {
	r, err := ntp.QueryWithOptions(server, ntp.QueryOptions{Timeout: askTimeout})
	if err != nil {
		return 0, err
	}
	if err := r.Validate(); err != nil {
		return 0, err
	}
	return r.ClockOffset, nil
}

// step sets the clock.
func step(by time.Duration) error {
	ts := unix.NsecToTimespec(time.Now().Add(by).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return err
	}
	return slew(0)
}

// slew lets the kernel's clock run to where it belongs and tells it that it is
// kept: it writes the hardware clock from then on, every eleven minutes.
func slew(by time.Duration) error {
	tx := unix.Timex{
		Modes:  unix.ADJ_OFFSET | unix.ADJ_NANO | unix.ADJ_STATUS | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR | unix.ADJ_TIMECONST,
		Offset: int64(min(max(by, -stepFrom), stepFrom)),
		Status: unix.STA_PLL | unix.STA_NANO, Constant: 6,
	}
	_, err := unix.Adjtimex(&tx)
	return err
}
