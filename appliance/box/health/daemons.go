package health

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"pillarbox/appliance/api/boxapi"
	"pillarbox/appliance/api/healthapi"
	"pillarbox/appliance/api/initapi"
	"pillarbox/appliance/api/mailapi"
)

// Limits for what the daemons say.
const (
	queueWatch        = 4 * time.Hour
	queueBad          = 24 * time.Hour
	certificateWatch  = 14 * 24 * time.Hour
	certificateBad    = 3 * 24 * time.Hour
	restartsToWatch   = 3
	clockOffsetWatch  = 5.0 // seconds
	clockSilenceWatch = 24 * time.Hour
	clockStepWatch    = 10 * time.Minute // beyond what a good clock loses switched off for a year

	// silenceBad is how long a daemon may keep silent before it is a finding: as
	// long as a slow machine takes to start it, or to open a large store after
	// a power cut. An alert for each start would be noise.
	silenceBad = 3 * time.Minute

	// problemAfter is how long a daemon must speak of a problem before it is a
	// finding: a network card has no address yet when the box has just started.
	problemAfter = time.Minute
)

// daemons asks the other daemons how they are.
type daemons struct {
	init initapi.Service
	box  boxapi.Service
	mail mailapi.Service
	// restarts of each service when it was first seen, so that only new ones count.
	restarts map[string]int
	// silentSince says from when on a daemon has not answered.
	silentSince map[string]time.Time
	// problemSince says from when on each daemon has spoken of each problem.
	problemSince map[string]map[string]time.Time
}

func (d *daemons) read(ctx context.Context, now time.Time) (readings []healthapi.Reading, found []finding) {
	r, f := d.readInit(ctx, now)
	readings, found = append(readings, r...), append(found, f...)
	r, f = d.readBox(ctx, now)
	readings, found = append(readings, r...), append(found, f...)
	r, f = d.readMail(ctx, now)
	return append(readings, r...), append(found, f...)
}

// silent is the finding about a daemon that has not answered for longer than
// silenceBad; err is what asking it now came to.
func (d *daemons) silent(name string, now time.Time, err error) finding {
	f := finding{id: "service/" + name + "/answers"}
	if err == nil {
		delete(d.silentSince, name)
		return f
	}
	since, known := d.silentSince[name]
	if !known {
		d.silentSince[name], since = now, now
	}
	if now.Sub(since) >= silenceBad {
		f.level = healthapi.Bad
		f.what = fmt.Sprintf("The service %s does not answer: %v.", name, err)
		f.means = "What it does is not done now. It is started again by itself when it ends."
		f.do = "Restart the box and look at the logs."
	}
	return f
}

// problems makes findings of the sentences in which a daemon tells what is the
// matter with what is in its care, such as volumes or the network.
func (d *daemons) problems(name string, now time.Time, sentences []string) (found []finding) {
	before, present := d.problemSince[name], map[string]time.Time{}
	for _, text := range sentences {
		since, known := before[text]
		if !known {
			since = now
		}
		present[text] = since
		if now.Sub(since) >= problemAfter {
			found = append(found, finding{id: problemID(name, text), level: healthapi.Watch, what: capital(text)})
		}
	}
	for text := range before {
		if _, still := present[text]; !still {
			found = append(found, finding{id: problemID(name, text)})
		}
	}
	d.problemSince[name] = present
	return found
}

// problemID is the same for the same sentence, after a restart too.
func problemID(name, text string) string {
	h := fnv.New32a()
	h.Write([]byte(text))
	return fmt.Sprintf("service/%s/problem/%08x", name, h.Sum32())
}

func (d *daemons) readInit(ctx context.Context, now time.Time) (readings []healthapi.Reading, found []finding) {
	services, err := d.init.Services(ctx)
	found = append(found, d.silent("init", now, err))
	if s, err := d.init.Status(ctx); err == nil {
		found = append(found, d.problems("init", now, s.Problems)...)
	}
	for _, s := range services {
		before, known := d.restarts[s.Name]
		if !known {
			d.restarts[s.Name], before = s.Restarts, s.Restarts
		}
		readings = append(readings, healthapi.Reading{ID: "service/" + s.Name + "/restarts", Kind: healthapi.Count, Name: "restarts of " + s.Name, Value: float64(s.Restarts - before)})
		f := finding{id: "service/" + s.Name + "/state"}
		switch {
		case s.State == "failed", s.State == "backoff" && s.Restarts >= restartsToWatch:
			f.level = healthapi.Bad
			f.what = fmt.Sprintf("The service %s keeps ending: %s.", s.Name, s.LastExit)
			f.means, f.do = "What it does is not done now.", "Look at its log; make a support bundle."
		case s.Restarts-before >= restartsToWatch:
			f.level = healthapi.Watch
			f.what = fmt.Sprintf("The service %s was started again %d times.", s.Name, s.Restarts-before)
			f.means, f.do = "It works now, but something makes it end.", "Look at its log; make a support bundle."
		}
		found = append(found, f)
	}
	return readings, found
}

func (d *daemons) readBox(ctx context.Context, now time.Time) (readings []healthapi.Reading, found []finding) {
	s, err := d.box.Status(ctx)
	found = append(found, d.silent("boxd", now, err))
	if err != nil {
		return nil, found
	}
	found = append(found, d.problems("boxd", now, s.Problems)...)
	clock := finding{id: "clock/source"}
	if !s.Clock.Synced && s.Uptime > clockSilenceWatch.Seconds() && now.Sub(s.Clock.LastOK) > clockSilenceWatch {
		clock.level = healthapi.Watch
		clock.what = "No time server has answered for a day."
		clock.means, clock.do = meaningOf("clock/")
	}
	found = append(found, clock, steppedFar(s))
	if s.Clock.Synced {
		readings = append(readings, healthapi.Reading{ID: "clock/offset", Kind: healthapi.Seconds, Name: "the clock is behind by", Value: s.Clock.Offset, WatchLow: ptr(-clockOffsetWatch), WatchHigh: ptr(clockOffsetWatch)})
	}
	return readings, found
}

// steppedFar tells for a day that the clock was far off when the box started:
// what came before a time server answered bears wrong dates.
func steppedFar(s *boxapi.Status) finding {
	f := finding{id: "clock/start"}
	by := time.Duration(s.Clock.Stepped * float64(time.Second))
	if by.Abs() < clockStepWatch || s.Uptime > clockSilenceWatch.Seconds() {
		return f
	}
	word := "behind"
	if by < 0 {
		word = "ahead"
	}
	f.level = healthapi.Watch
	f.what = fmt.Sprintf("The clock was %s %s when the box started; it was set by a time server.", by.Abs().Round(time.Minute), word)
	f.means, f.do = "Mail that came in before that has a wrong date.", "If it comes again, replace the battery of the mainboard."
	return f
}

// certificateLimits are how much of a certificate's time has to be left. One that is
// renewed by itself may be good for days alone.
func certificateLimits(c *mailapi.Certificate) (watch, bad time.Duration) {
	if c.Source != mailapi.CertificateACME {
		return certificateWatch, certificateBad
	}
	life := c.NotAfter.Sub(c.NotBefore)
	return min(certificateWatch, life/6), min(certificateBad, life/30)
}

func (d *daemons) readMail(ctx context.Context, now time.Time) (readings []healthapi.Reading, found []finding) {
	s, err := d.mail.Status(ctx)
	found = append(found, d.silent("maild", now, err))
	if err != nil {
		return nil, found
	}
	readings = append(readings,
		healthapi.Reading{ID: "mail/queue/count", Kind: healthapi.Count, Name: "messages waiting to go out", Value: float64(s.Queue.Count)},
		healthapi.Reading{ID: "mail/messages", Kind: healthapi.Count, Name: "messages stored", Value: float64(s.Messages)},
		healthapi.Reading{ID: "mail/stored", Kind: healthapi.Octets, Name: "mail stored", Value: float64(s.StoredBytes)})
	age := 0.0
	if s.Queue.Count > 0 && !s.Queue.Oldest.IsZero() {
		age = now.Sub(s.Queue.Oldest).Seconds()
	}
	readings = append(readings, healthapi.Reading{ID: "mail/queue/age", Kind: healthapi.Seconds, Name: "age of the oldest message waiting to go out", Value: age, WatchHigh: ptr(queueWatch.Seconds()), BadHigh: ptr(queueBad.Seconds())})
	full, failed := finding{id: "mail/disk/full"}, finding{id: "mail/disk/failed"}
	switch s.Disk.State {
	case mailapi.DiskFull:
		full.level = healthapi.Bad
		full.what = "The disk is full: no mail is taken."
		full.means, full.do = meaningOf("space/data")
	case mailapi.DiskReadOnly:
		failed.level = healthapi.Bad
		failed.what = "The disk has failed to write: no mail is taken."
		failed.means = "What was accepted before is safe and can be read."
		failed.do = "Make a backup, look at the disk's state above, replace it."
	}
	found = append(found, full, failed)
	if c, err := d.mail.Certificate(ctx); err == nil {
		source := finding{id: "mail/certificate/source"}
		if c.Problem != "" {
			source.level, source.what = healthapi.Watch, c.Problem
			source.means = "Mail goes on, but mail programs that do not know the box's own authority will warn or refuse to connect."
			source.do = "Put it right, or choose another certificate in the menu."
		}
		found = append(found, source)
		watch, bad := certificateLimits(c)
		left := c.NotAfter.Sub(now).Seconds()
		readings = append(readings, healthapi.Reading{ID: "mail/certificate", Kind: healthapi.Seconds, Name: "time left of the certificate", Value: left, WatchLow: ptr(watch.Seconds()), BadLow: ptr(bad.Seconds())})
	}
	return readings, found
}
