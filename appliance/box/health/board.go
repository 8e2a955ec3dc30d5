package health

import (
	"errors"
	"io/fs"
	"log/slog"

	"pillarbox/appliance/config/boardfile"
)

// readBoard gives what is known of the box's board. Nothing of it has to be: a
// box without the file, or with a broken one, is watched with what the hardware
// says.
func readBoard(file string, log *slog.Logger) *boardfile.File {
	f, err := boardfile.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		log.Info("no board is known: sensors whose hardware states no limits have none")
		return &boardfile.File{}
	}
	if err != nil {
		log.Error("the board's file cannot be read: sensors whose hardware states no limits have none", "error", err)
		return &boardfile.File{}
	}
	if err := boardfile.CheckSensors(f.Sensors); err != nil {
		log.Error("the board's limits cannot be used: sensors whose hardware states none have none", "error", err)
		f.Sensors = nil
	}
	return f
}
