// Package health watches the machine: it reads what the hardware and the
// daemons offer, judges it, remembers it, and tells the owner what is failing
// before it fails.
//
// The parts: sources read (hwmon, drives, the management controller, memory, arrays,
// network, UPS, space, daemons) and give readings, which are numbers with limits, or findings, which
// are verdicts. The [Judge] turns both into states with sentences, slowly
// enough that nothing flutters. The [History] keeps every reading for a year in
// bounded space. The [Messenger] tells each change once by each way that is set,
// whatever becomes of the other ways. The [Watchdog] restarts a box that hangs.
// [Monitor] drives them, and serves the readings to the neighbourhood where that
// is asked for.
//
// Limits of sensors are those that the hardware states, and those of the board,
// see package boardfile, where it states none. Of several watchdogs the one that
// the board prefers is fed.
//
// Invariants:
//   - A source that fails or hangs never keeps the others from being read: each
//     has its time, and a disk that does not answer is a state of its own.
//   - A state changes only after its reading has been beyond a limit twice, or
//     back by a margin; one change is one alert. What somebody has said to know
//     of is not well, and still nothing to look at until it gets worse.
//   - Nothing here writes to a disk's data or waits for the network while the
//     watchdog is to be fed.
//
// On disk, below the state volume's health folder: history/ID.ring (see ring),
// states.json (what was told, so that a restart tells nothing twice),
// waiting.json (alerts that are still to be told, by way), ipmi.json (the place in
// the management controller's log), crash/ (what kernels that died left behind),
// watchdog-reason (why it is about to restart the box), self-test and weekly (the
// days of the last) and settings.json.
package health
